//! Requests about a served kind: one handler per verb, the same for all kinds.
//!
//! Upstream: apiserver `pkg/endpoints/installer.go` (which paths and verbs exist).

use super::method_not_allowed;
use crate::{
    api::{Request, Response, Server},
    connect::{Connect, ConnectRequest},
    encode::{Encoder, Include},
    filters::trace::Trace,
    metrics::Labels,
    negotiate::{Form, Shape},
    query::Query,
    request_info::RequestInfo,
};
use http::{HeaderMap, StatusCode};
use proa_meta::{ApiError, ApiResult, User};
use proa_registry::{
    KindDef,
    kind::Behaviour,
    registry::Kind,
    request::{List, Object, Target},
};
use proa_schema::protobuf::is_message;
use std::sync::Arc;

/// One request about a kind.
pub(super) struct Call<'a> {
    pub(super) server: &'a Arc<Server>,
    pub(super) request: &'a mut Request,
    pub(super) info: RequestInfo,
    pub(super) query: &'a Query<'a>,
    pub(super) kind: Arc<Kind>,
    pub(super) user: Arc<User>,
    pub(super) trace: &'a mut Trace,
    /// Bytes of the body as it came.
    pub(super) body_size: usize,
}

/// Whether a path and verb exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Served,
    NoSuchPath,
    NotAllowed,
}

const ROOT_VERBS: [&str; 8] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

impl Call<'_> {
    pub(super) async fn answer(self) -> ApiResult<Response> {
        self.trace.is_served(labels(&self.kind.def, &self.info));
        self.trace.warnings.extend(self.kind.def.deprecation.iter().map(ToString::to_string));
        match route(&self.kind.def, &self.info) {
            Route::Served => {}
            Route::NoSuchPath => return self.no_such_path(),
            Route::NotAllowed => return Err(self.not_allowed()),
        }
        if let Some(connector) = self.server.config.connectors.find(&self.info).cloned() {
            return self.connect(connector.as_ref()).await;
        }
        match self.info.verb {
            "get" => self.get().await,
            "list" => self.list().await,
            "watch" => self.watch().await,
            "create" => self.create().await,
            "update" => self.update().await,
            "patch" => self.patch().await,
            "delete" => self.delete().await,
            "deletecollection" => self.delete_collection().await,
            _ => Err(self.not_allowed()),
        }
    }

    fn no_such_path(&self) -> ApiResult<Response> {
        if self.kind.def.custom && !self.info.subresource.is_empty() {
            return Err(ApiError::not_found(&self.kind.def.group_resource(), &self.info.name));
        }
        super::nothing_at(self.server, &self.info.path)
    }

    fn not_allowed(&self) -> ApiError {
        match self.kind.def.custom {
            true => ApiError::method_not_allowed(&self.kind.def.group_resource(), self.info.verb),
            false => method_not_allowed(),
        }
    }

    async fn connect(self, connector: &dyn Connect) -> ApiResult<Response> {
        let request = self.request.take();
        let switch = request.switch;
        let target = self.target();
        let connected = ConnectRequest { request, info: self.info, user: self.user };
        if let Some(options) = connector.options(&connected) {
            let warnings = self.server.config.registry.admit_connect(&target, options).await?;
            self.trace.warnings.extend(warnings);
        }
        super::only_as_offered(connector.connect(connected).await?, switch)
    }

    pub(super) fn target(&self) -> Target {
        let text = |wanted: bool, text: &str| if wanted { text.to_owned() } else { String::new() };
        Target {
            kind: Arc::clone(&self.kind),
            namespace: text(self.kind.def.is_namespaced(), &self.info.namespace),
            name: text(self.info.named_by_path, &self.info.name),
            subresource: self.info.subresource.clone(),
            user: Arc::clone(&self.user),
        }
    }

    /// Whether answers can be protobuf: all but those with custom kinds.
    pub(super) fn has_protobuf(&self) -> bool {
        let def = &self.kind.def;
        let subresource = def.subresources.iter().find(|s| s.name == self.info.subresource);
        !def.custom && is_message(subresource.map_or(&def.schema, |s| &s.schema))
    }

    /// An object as the answer.
    pub(super) async fn shown(
        self,
        encoder: &Encoder,
        status: StatusCode,
        object: &Object,
    ) -> ApiResult<Response> {
        if let Some(record) = self.trace.record() {
            match object {
                Object::Made(made) if made["kind"] == "Status" => record.answered_status((**made).clone()),
                _ if record.wants_answer() => {
                    record.answered(encoder.plain().object(status, object, &HeaderMap::new())?.body).await;
                }
                _ => {}
            }
        }
        encoder.object(status, object, &self.request.headers)
    }

    /// A list as the answer.
    pub(super) async fn listed(self, encoder: &Encoder, list: List) -> ApiResult<Response> {
        let runtime = &self.server.config.runtime;
        if let Some(record) = self.trace.record().filter(|record| record.wants_answer()) {
            let plain = encoder.plain().list(list.clone(), &HeaderMap::new(), runtime).await?;
            record.answered(plain.body).await;
        }
        encoder.list(list, &self.request.headers, runtime).await
    }

    pub(super) fn encoder(&self, form: Form) -> ApiResult<Encoder> {
        let include = match form.shape {
            Shape::Table => Include::parse(self.query.get("includeObject"))?,
            _ => Include::default(),
        };
        let now = self.server.config.registry.now();
        Encoder::new(Arc::clone(&self.kind), form, include, now, &self.server.config.docs)
    }
}

fn route(def: &KindDef, info: &RequestInfo) -> Route {
    let in_namespace = !info.namespace.is_empty();
    let own_namespace =
        def.gvk.group.is_empty() && def.resource == "namespaces" && info.name == info.namespace;
    if !def.is_namespaced() && in_namespace && !own_namespace {
        return Route::NoSuchPath;
    }
    if def.is_namespaced() && !in_namespace && info.named_by_path {
        return Route::NoSuchPath;
    }
    if info.verb == "proxy" {
        return Route::NoSuchPath;
    }
    if !info.subresource.is_empty() {
        return subresource_route(def, info);
    }
    if def.behaviour == Behaviour::Virtual {
        return match info.verb {
            _ if info.named_by_path => Route::NoSuchPath,
            "create" => Route::Served,
            _ => Route::NotAllowed,
        };
    }
    let names = info.named_by_path;
    let fits = match info.verb {
        "create" => !names && (in_namespace || !def.is_namespaced()),
        "deletecollection" => def.deletes_collection && (in_namespace || !def.is_namespaced()),
        "get" | "update" | "patch" | "delete" => names,
        _ => true,
    };
    let known = ROOT_VERBS.contains(&info.verb);
    if known && fits { Route::Served } else { Route::NotAllowed }
}

fn subresource_route(def: &KindDef, info: &RequestInfo) -> Route {
    let known = def.subresources.iter().find(|s| s.name == info.subresource);
    if known.is_some_and(|s| s.paths) {
        // Whatever is behind it knows its own methods and paths.
        return Route::Served;
    }
    if !info.parts_after_subresource.is_empty() {
        return Route::NoSuchPath;
    }
    let verbs: &[&str] = match (info.subresource.as_str(), known) {
        ("status", _) if def.status => &["get", "update", "patch"],
        ("scale", _) if def.scale.is_some() => &["get", "update", "patch"],
        (part, _) if def.part(part).is_some() => &["get", "update", "patch"],
        (_, Some(subresource)) => subresource.verbs,
        (_, None) => return Route::NoSuchPath,
    };
    if verbs.contains(&info.verb) { Route::Served } else { Route::NotAllowed }
}

fn labels(def: &KindDef, info: &RequestInfo) -> Labels {
    let subresource = match info.subresource.as_str() {
        "" => "".into(),
        "status" => "status".into(),
        "scale" => "scale".into(),
        other => {
            let parts = def.parts.iter().map(|part| part.name);
            let mut known = parts.chain(def.subresources.iter().map(|subresource| subresource.name));
            known.find(|name| *name == other).unwrap_or_default().into()
        }
    };
    Labels {
        group: def.gvk.group.clone(),
        version: def.gvk.version.clone(),
        resource: def.resource.clone(),
        subresource,
        ..Labels::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use proa_meta::Gvk;

    #[test]
    fn paths_and_verbs_that_exist() {
        let pod = KindDef::namespaced(Gvk::new("", "v1", "Pod"), "pods", Default::default()).with_status();
        let namespace = KindDef::cluster(Gvk::new("", "v1", "Namespace"), "namespaces", Default::default());
        let review = KindDef::cluster(
            Gvk::new("authentication.k8s.io", "v1", "TokenReview"),
            "tokenreviews",
            Default::default(),
        )
        .answered();
        use Route::{NoSuchPath, NotAllowed, Served};
        for (def, method, path, want) in [
            (&pod, Method::GET, "/api/v1/pods", Served),
            (&pod, Method::GET, "/api/v1/pods/a", NoSuchPath),
            (&pod, Method::POST, "/api/v1/pods", NotAllowed),
            (&pod, Method::POST, "/api/v1/namespaces/n/pods", Served),
            (&pod, Method::POST, "/api/v1/namespaces/n/pods/a", NotAllowed),
            (&pod, Method::DELETE, "/api/v1/pods", NotAllowed),
            (&pod, Method::DELETE, "/api/v1/namespaces/n/pods", Served),
            (&pod, Method::PUT, "/api/v1/namespaces/n/pods/a/status", Served),
            (&pod, Method::DELETE, "/api/v1/namespaces/n/pods/a/status", NotAllowed),
            (&pod, Method::GET, "/api/v1/namespaces/n/pods/a/scale", NoSuchPath),
            (&pod, Method::GET, "/api/v1/namespaces/n/pods/a/status/x", NoSuchPath),
            (&pod, Method::OPTIONS, "/api/v1/namespaces/n/pods/a", NotAllowed),
            (&namespace, Method::GET, "/api/v1/namespaces/n", Served),
            (&namespace, Method::GET, "/api/v1/namespaces/n/namespaces/m", NoSuchPath),
            (&review, Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", Served),
            (&review, Method::GET, "/apis/authentication.k8s.io/v1/tokenreviews", NotAllowed),
            (&review, Method::GET, "/apis/authentication.k8s.io/v1/tokenreviews/a", NoSuchPath),
        ] {
            let info = crate::request_info::parse(&method, path, &Query::default()).unwrap();
            assert_eq!(route(def, &info), want, "{method} {path}");
        }
    }
}
