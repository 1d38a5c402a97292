//! What is asked. Pure.

use http::{HeaderMap, Method, Uri, header};
use proa_kit::Meta;
use proa_meta::{
    ApiError, GroupResource,
    selector::{FieldSelector, Selector},
};

/// A question.
#[derive(Debug)]
pub(super) enum Question {
    /// Whether it lives.
    Health,
    /// Groups.
    Groups,
    /// The group.
    Group,
    /// Resources of the version.
    Resources,
    /// What nodes use.
    Nodes(Which),
    /// What pods use.
    Pods(Which),
}

/// Which nodes or pods.
#[derive(Debug)]
pub(super) struct Which {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    labels: Selector,
    fields: FieldSelector,
}

/// What a user must be allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To read a path.
    Path(String),
    /// To read a resource.
    Resource { verb: &'static str, resource: &'static str, namespace: String, name: String },
}

impl Access {
    /// The user may not.
    pub(super) fn refusal(&self, user: &str) -> ApiError {
        match self {
            Self::Path(path) => {
                let group = GroupResource::new("", "");
                ApiError::forbidden(&group, "", &format!("User {user:?} cannot get path {path:?}"))
            }
            Self::Resource { verb, resource, namespace, name } => {
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {namespace:?}")
                };
                let why = format!(
                    "User {user:?} cannot {verb} resource {resource:?} in API group \"metrics.k8s.io\" {place}"
                );
                ApiError::forbidden(&GroupResource::new("metrics.k8s.io", resource), name, &why)
            }
        }
    }
}

impl Question {
    /// What a user must be allowed who asks for `path`.
    pub(super) fn access(&self, path: &str) -> Access {
        let (resource, which) = match self {
            Self::Nodes(which) => ("nodes", which),
            Self::Pods(which) => ("pods", which),
            Self::Health | Self::Groups | Self::Group | Self::Resources => {
                return Access::Path(path.to_owned());
            }
        };
        let verb = if which.name.is_some() { "get" } else { "list" };
        let (namespace, name) = (which.namespace.clone(), which.name.clone());
        let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
        Access::Resource { verb, resource, namespace, name }
    }
}

impl Which {
    /// Whether an object is among them, that is on this node.
    pub(super) fn takes(&self, meta: &Meta, node: &str) -> bool {
        let field = |name: &str| match name {
            "metadata.name" => &*meta.name,
            "metadata.namespace" => &*meta.namespace,
            _ => node,
        };
        self.name.as_ref().is_none_or(|name| **name == *meta.name)
            && self.labels.matches(|key| meta.labels.get(key))
            && self.fields.matches(field)
    }
}

const ROOT: &str = "apis/metrics.k8s.io/v1beta1";

/// Reads a request.
pub(super) fn parse(method: &Method, uri: &Uri) -> Result<Question, ApiError> {
    let path = uri.path().trim_matches('/');
    let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).collect::<Vec<_>>();
    let question = match path {
        "healthz" | "livez" | "readyz" => Question::Health,
        "apis" => Question::Groups,
        "apis/metrics.k8s.io" => Question::Group,
        ROOT => Question::Resources,
        _ => {
            let rest = path.strip_prefix(ROOT).and_then(|rest| rest.strip_prefix('/'));
            let parts: Vec<&str> = rest.ok_or_else(ApiError::no_such_resource)?.split('/').collect();
            resource(&parts, &query)?
        }
    };
    let watches = query.iter().any(|(key, value)| key == "watch" && matches!(&**value, "1" | "true"));
    let resource = match &question {
        Question::Nodes(_) => "nodes",
        Question::Pods(_) => "pods",
        _ => "",
    };
    let resource = GroupResource::new("metrics.k8s.io", resource);
    match *method {
        Method::GET if watches => Err(ApiError::method_not_allowed(&resource, "watch")),
        Method::GET => Ok(question),
        _ => Err(ApiError::method_not_allowed(&resource, &method.as_str().to_ascii_lowercase())),
    }
}

type Pair<'a> = (std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>);

fn resource(parts: &[&str], query: &[Pair<'_>]) -> Result<Question, ApiError> {
    let which = |namespace: Option<&str>, name: Option<&str>, may_name: &[&str]| {
        let value = |key: &str| query.iter().find(|(own, _)| own == key).map_or("", |(_, value)| &**value);
        let labels = Selector::parse(value("labelSelector"))
            .map_err(|error| ApiError::bad_request(format!("unable to parse requirement: {error}")))?;
        let fields = FieldSelector::parse(value("fieldSelector"))
            .map_err(|error| ApiError::bad_request(error.to_string()))?;
        if let Some(other) = fields.requirements().iter().find(|own| !may_name.contains(&&*own.field)) {
            return Err(ApiError::bad_request(format!("field label not supported: {}", other.field)));
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Which { namespace: owned(namespace), name: owned(name), labels, fields })
    };
    const OF_NODE: &[&str] = &["metadata.name"];
    const OF_POD: &[&str] = &["metadata.name", "metadata.namespace", "spec.nodeName"];
    match *parts {
        ["nodes"] => which(None, None, OF_NODE).map(Question::Nodes),
        ["nodes", name] => which(None, Some(name), OF_NODE).map(Question::Nodes),
        ["pods"] => which(None, None, OF_POD).map(Question::Pods),
        ["namespaces", namespace, "pods"] => which(Some(namespace), None, OF_POD).map(Question::Pods),
        ["namespaces", namespace, "pods", name] => {
            which(Some(namespace), Some(name), OF_POD).map(Question::Pods)
        }
        _ => Err(ApiError::no_such_resource()),
    }
}

/// How an answer is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The objects.
    Plain,
    /// A table of them.
    Table,
}

/// The first form that the client takes and that can be given.
pub(super) fn form(headers: &HeaderMap) -> Option<Form> {
    let mut accepted =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
    if accepted.peek().is_none() {
        return Some(Form::Plain);
    }
    accepted.flat_map(|value| value.split(',')).find_map(|one| {
        let mut parts = one.split(';').map(str::trim);
        if !matches!(parts.next(), Some("application/json" | "application/*" | "*/*" | "")) {
            return None;
        }
        let parameters: Vec<&str> = parts.collect();
        match parameters.iter().find(|parameter| parameter.starts_with("as=")) {
            None => Some(Form::Plain),
            Some(&"as=Table") if parameters.contains(&"v=v1") => Some(Form::Table),
            Some(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Result<Access, u16> {
        let uri: Uri = uri.parse().unwrap();
        parse(&Method::GET, &uri).map(|question| question.access(uri.path())).map_err(|error| error.code())
    }

    fn of(verb: &'static str, resource: &'static str, namespace: &str, name: &str) -> Result<Access, u16> {
        Ok(Access::Resource { verb, resource, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    #[test]
    fn paths_are_questions() {
        let root = "/apis/metrics.k8s.io/v1beta1";
        assert_eq!(asked(&format!("{root}/nodes?labelSelector=a%3Db")), of("list", "nodes", "", ""));
        assert_eq!(asked(&format!("{root}/nodes/n")), of("get", "nodes", "", "n"));
        assert_eq!(asked(&format!("{root}/pods")), of("list", "pods", "", ""));
        assert_eq!(asked(&format!("{root}/namespaces/d/pods")), of("list", "pods", "d", ""));
        assert_eq!(asked(&format!("{root}/namespaces/d/pods/p")), of("get", "pods", "d", "p"));
        assert_eq!(asked(root), Ok(Access::Path(root.to_owned())));
        assert_eq!(asked("/apis"), Ok(Access::Path("/apis".to_owned())));
        for (path, code) in [
            ("/api", 404),
            ("/openapi/v3", 404),
            ("/apis/metrics.k8s.io/v1beta1/services", 404),
            ("/apis/metrics.k8s.io/v1beta1x/pods", 404),
            ("/apis/metrics.k8s.io/v1beta1/pods?watch=1", 405),
            ("/apis/metrics.k8s.io/v1beta1/pods?labelSelector=%21%21", 400),
            ("/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=status.phase%3DRunning", 400),
        ] {
            assert_eq!(asked(path), Err(code), "{path}");
        }
        let uri: Uri = "/apis/metrics.k8s.io/v1beta1/pods".parse().unwrap();
        assert_eq!(parse(&Method::POST, &uri).unwrap_err().code(), 405);
    }

    #[test]
    fn selectors_choose() {
        let uri = "/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app%3Dweb&fieldSelector=spec.nodeName%3Dn";
        let Ok(Question::Pods(which)) = parse(&Method::GET, &uri.parse().unwrap()) else { panic!("no pods") };
        let meta: Meta = serde_json::from_str(r#"{"name": "p", "labels": {"app": "web"}}"#).unwrap();
        assert!(which.takes(&meta, "n"));
        assert!(!which.takes(&meta, "m"));
        assert!(!which.takes(&Meta::default(), "n"));
    }

    #[test]
    fn the_first_form_that_can_be_given_counts() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, value.parse().unwrap());
            form(&headers)
        };
        assert_eq!(form(&HeaderMap::new()), Some(Form::Plain));
        for (accept, expected) in [
            ("*/*", Some(Form::Plain)),
            ("application/json", Some(Form::Plain)),
            ("application/vnd.kubernetes.protobuf,application/json", Some(Form::Plain)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(Form::Table)),
            (
                "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json",
                Some(Form::Plain),
            ),
            ("application/json;as=Table;v=v1beta1;g=meta.k8s.io", None),
            ("application/vnd.kubernetes.protobuf", None),
        ] {
            assert_eq!(with(accept), expected, "{accept}");
        }
    }
}
