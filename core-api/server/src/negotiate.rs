//! Which form an answer takes, and in which form a body comes.
//!
//! Pure. Served: JSON, YAML and protobuf; `Table` and `PartialObjectMetadata(List)` of `meta.k8s.io` v1 and v1beta1.
//! Custom kinds have no protobuf form, nor have tables; CBOR is not served. Clients that offer another form get that,
//! others 406.
//! Upstream: apiserver `pkg/endpoints/handlers/negotiation`, `pkg/endpoints/handlers/rest.go`.

use http::{HeaderMap, HeaderValue, header};
use proa_meta::{ApiError, ApiResult, Reason, status::Details};
use proa_schema::protobuf;

/// Bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wire {
    #[default]
    Json,
    Yaml,
    Protobuf,
}

impl Wire {
    /// In the order in which a wildcard takes them.
    const ALL: [Self; 3] = [Self::Json, Self::Yaml, Self::Protobuf];

    /// Media type.
    pub(crate) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => protobuf::MEDIA_TYPE,
        }
    }
}

/// What is served, as refusals name it.
const SERVED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const SERVED_STREAMS: &str =
    "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// What the bytes describe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The kind itself.
    #[default]
    Whole,
    Table,
    Partial,
    PartialList,
    /// Aggregated discovery; `beta` is v2beta1.
    Discovery {
        beta: bool,
    },
}

impl Shape {
    /// Whether nothing but metadata is shown.
    pub(crate) fn is_metadata(self) -> bool {
        matches!(self, Self::Partial | Self::PartialList)
    }
}

/// The outcome of a negotiation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) wire: Wire,
    pub(crate) pretty: bool,
    pub(crate) shape: Shape,
    /// Version of `meta.k8s.io` for tables and partial objects.
    pub(crate) beta: bool,
}

impl Form {
    /// `apiVersion` of tables and partial objects.
    pub(crate) const fn meta_version(self) -> &'static str {
        if self.beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
    }
}

/// Where the negotiation takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Documents that are text and nothing else.
    Text,
    /// Plain documents and errors: no transformation.
    Plain,
    /// Objects and lists.
    Objects { protobuf: bool },
    /// Objects that are only ever answers.
    Answers { protobuf: bool },
    /// `/api` and `/apis`.
    Discovery,
}

impl Place {
    /// Whether upstream's router knows what is served there: custom kinds and texts are answered behind it.
    const fn is_routed(self) -> bool {
        matches!(
            self,
            Self::Plain
                | Self::Discovery
                | Self::Objects { protobuf: true }
                | Self::Answers { protobuf: true }
        )
    }

    /// Whether a shape can be written in this form.
    const fn serves(self, wire: Wire, shape: Shape) -> bool {
        match (self, shape, wire) {
            (Self::Text, _, Wire::Protobuf) | (_, Shape::Table, Wire::Protobuf) => false,
            (Self::Objects { protobuf } | Self::Answers { protobuf }, Shape::Whole, Wire::Protobuf) => {
                protobuf
            }
            _ => true,
        }
    }
}

/// For documents that have no protobuf form.
pub(crate) fn text(headers: &HeaderMap, query: Option<&str>) -> ApiResult<Form> {
    negotiate(headers, query, Place::Text)
}

/// For documents and errors, which have no other shape.
pub(crate) fn plain(headers: &HeaderMap, query: Option<&str>) -> ApiResult<Form> {
    negotiate(headers, query, Place::Plain)
}

/// For objects and lists, whose kind has a protobuf form or not.
pub(crate) fn objects(headers: &HeaderMap, query: Option<&str>, protobuf: bool) -> ApiResult<Form> {
    negotiate(headers, query, Place::Objects { protobuf })
}

/// For answers of kinds that nobody lists (access reviews): they have no table.
pub(crate) fn answers(headers: &HeaderMap, query: Option<&str>, protobuf: bool) -> ApiResult<Form> {
    negotiate(headers, query, Place::Answers { protobuf })
}

/// Whether `application/SUBTYPE` is accepted, and before JSON.
pub(crate) fn prefers(headers: &HeaderMap, subtype: &str) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let known = |c: &Clause<'_>| matches!(c.subtype, "json" | "*") || c.subtype == subtype;
    clauses(accept).into_iter().find(known).is_some_and(|c| c.subtype == subtype)
}

/// Whether JSON is accepted.
pub(crate) fn accepts_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    accept.is_empty() || clauses(accept).iter().any(|c| matches!(c.subtype, "json" | "*"))
}

/// For watches: YAML cannot be framed.
pub(crate) fn watch(headers: &HeaderMap, query: Option<&str>, protobuf: bool) -> ApiResult<Form> {
    match objects(headers, query, protobuf)? {
        Form { wire: Wire::Yaml, .. } => Err(not_acceptable(SERVED_STREAMS)),
        form => Ok(Form { pretty: false, ..form }),
    }
}

/// For `/api` and `/apis`: the aggregated shape when it is the first that can be served.
pub(crate) fn discovery(headers: &HeaderMap, query: Option<&str>) -> ApiResult<Form> {
    negotiate(headers, query, Place::Discovery).or_else(|_| plain(headers, query))
}

fn negotiate(headers: &HeaderMap, query: Option<&str>, place: Place) -> ApiResult<Form> {
    let accept = match headers.get(header::ACCEPT).map(HeaderValue::to_str) {
        None | Some(Ok("")) => return Ok(Form { pretty: is_pretty(headers, query), ..Form::default() }),
        Some(accept) => accept.unwrap_or_default(),
    };
    let found = clauses(accept).into_iter().find_map(|clause| clause.form(place));
    let served = if place == Place::Text { "application/json, application/yaml" } else { SERVED };
    let Some(form) = found else {
        return Err(if place.is_routed() && !names_any(accept) {
            unroutable(SERVED)
        } else {
            not_acceptable(served)
        });
    };
    Ok(Form { pretty: form.pretty || is_pretty(headers, query), ..form })
}

/// Whether a media type that is served is named at all, whatever its parameters.
fn names_any(accept: &str) -> bool {
    clauses(accept).iter().any(|clause| {
        let known = |wire: Wire| wire.media_type().strip_prefix("application/") == Some(clause.subtype);
        matches!((clause.kind, clause.subtype), ("*", "*") | ("application", "*"))
            || (clause.kind == "application" && Wire::ALL.into_iter().any(known))
    })
}

/// The words of upstream's router, which looks at media types before it calls a built-in kind.
pub(crate) fn unroutable(served: &str) -> ApiError {
    let text = format!("406: Not Acceptable\n\nAvailable representations: {served}");
    ApiError::new(Reason::NotAcceptable, text).with_details(Details::default())
}

fn not_acceptable(served: &str) -> ApiError {
    let text = format!("only the following media types are accepted: {served}");
    ApiError::new(Reason::NotAcceptable, text)
}

/// `?pretty`, or a client that shows bytes to people.
fn is_pretty(headers: &HeaderMap, query: Option<&str>) -> bool {
    if let Some(value) = query.and_then(|q| q.split('&').find_map(|p| p.strip_prefix("pretty="))) {
        return matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|known| agent.starts_with(known))
}

/// One media range of an Accept header.
#[derive(Debug)]
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// In order of preference: quality first, then specific before wildcard, then as written.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut found: Vec<_> = accept.split(',').filter_map(Clause::parse).collect();
    let wildcards = |c: &Clause<'_>| u8::from(c.kind == "*") + u8::from(c.subtype == "*");
    found.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(wildcards(a).cmp(&wildcards(b))));
    found
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut pieces = text.split(';').map(str::trim);
        let (kind, subtype) = match pieces.next()? {
            "*" => ("*", "*"),
            range => range.split_once('/')?,
        };
        let mut clause = Clause { kind, subtype, quality: 1.0, parameters: Vec::new() };
        for (key, value) in pieces.filter_map(|p| p.split_once('=')) {
            let (key, value) = (key.trim(), value.trim().trim_matches('"'));
            if key == "q" {
                clause.quality = value.parse().unwrap_or(1.0);
            } else {
                clause.parameters.push((key, value));
            }
        }
        Some(clause)
    }

    fn form(&self, place: Place) -> Option<Form> {
        Wire::ALL.into_iter().find_map(|wire| {
            let fits = match (self.kind, self.subtype) {
                ("*", "*") | ("application", "*") => true,
                ("application", named) => wire.media_type().strip_prefix("application/") == Some(named),
                _ => false,
            };
            fits.then(|| self.options(wire, place)).flatten()
        })
    }

    /// The clause with its parameters, when all that they ask for can be served.
    fn options(&self, wire: Wire, place: Place) -> Option<Form> {
        let mut form = Form { wire, ..Form::default() };
        let (mut kind, mut group, mut version) = (None, "", "");
        for (key, value) in &self.parameters {
            match *key {
                "as" => kind = Some(*value),
                "g" => group = value,
                "v" => version = value,
                "stream" if !value.is_empty() && (*value != "watch" || wire == Wire::Yaml) => return None,
                "sv" if !value.is_empty()
                    && (matches!(place, Place::Text | Place::Plain | Place::Discovery) || *value != "v1") =>
                {
                    return None;
                }
                "pretty" => form.pretty = *value == "1",
                _ => {}
            }
        }
        let asked = kind.is_some() || !group.is_empty() || !version.is_empty();
        if asked || place == Place::Discovery {
            form.shape = shape(kind.unwrap_or_default(), group, version, place)?;
            form.beta = version == "v1beta1";
        }
        place.serves(wire, form.shape).then_some(form)
    }
}

fn shape(kind: &str, group: &str, version: &str, place: Place) -> Option<Shape> {
    match (place, group, version) {
        (Place::Objects { .. } | Place::Answers { .. }, "meta.k8s.io", "v1" | "v1beta1") => match kind {
            "Table" if matches!(place, Place::Objects { .. }) => Some(Shape::Table),
            "PartialObjectMetadata" => Some(Shape::Partial),
            "PartialObjectMetadataList" => Some(Shape::PartialList),
            _ => None,
        },
        (Place::Discovery, "apidiscovery.k8s.io", "v2" | "v2beta1") if kind == "APIGroupDiscoveryList" => {
            Some(Shape::Discovery { beta: version == "v2beta1" })
        }
        _ => None,
    }
}

/// Bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyForm {
    Json,
    Yaml,
    Protobuf,
}

/// The form of a body; JSON without a content type. Custom kinds have no protobuf form.
pub(crate) fn body(headers: &HeaderMap, custom: bool) -> ApiResult<BodyForm> {
    match media_type(headers) {
        "" | "application/json" => Ok(BodyForm::Json),
        "application/yaml" => Ok(BodyForm::Yaml),
        protobuf::MEDIA_TYPE if !custom => Ok(BodyForm::Protobuf),
        // Upstream names protobuf here too, and then breaks on it.
        protobuf::MEDIA_TYPE => Err(unsupported_media_type("application/json, application/yaml")),
        _ => Err(unsupported_media_type(SERVED)),
    }
}

/// The content type without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let text = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// The words of upstream's router, which looks at the content types of patches before it calls a built-in kind.
pub(crate) fn unsupported_patch() -> ApiError {
    ApiError::new(Reason::UnsupportedMediaType, "415: Unsupported Media Type")
        .with_details(Details::default())
}

pub(crate) fn unsupported_media_type(served: &str) -> ApiError {
    let text =
        format!("the body of the request was in an unknown format - accepted media types include: {served}");
    ApiError::new(Reason::UnsupportedMediaType, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, text.parse().unwrap())])
    }
    fn form(text: &str) -> Option<(Wire, Shape)> {
        objects(&accept(text), None, true).ok().map(|f| (f.wire, f.shape))
    }
    fn custom(text: &str) -> Option<(Wire, Shape)> {
        objects(&accept(text), None, false).ok().map(|f| (f.wire, f.shape))
    }

    #[test]
    fn accept_headers_of_real_clients() {
        const TABLES: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
             application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
             application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        for (header, want) in [
            (TABLES, Some((Wire::Json, Shape::Table))),
            (METADATA, Some((Wire::Protobuf, Shape::PartialList))),
            ("application/vnd.kubernetes.protobuf,application/json", Some((Wire::Protobuf, Shape::Whole))),
            ("application/vnd.kubernetes.protobuf;q=0.5,application/json", Some((Wire::Json, Shape::Whole))),
            ("application/vnd.kubernetes.protobuf;stream=watch", Some((Wire::Protobuf, Shape::Whole))),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", None),
            ("application/cbor, application/json;q=0.9", Some((Wire::Json, Shape::Whole))),
            ("application/yaml", Some((Wire::Yaml, Shape::Whole))),
            ("application/yaml;q=0.5, application/json;q=0.4", Some((Wire::Yaml, Shape::Whole))),
            ("*/*", Some((Wire::Json, Shape::Whole))),
            ("*", Some((Wire::Json, Shape::Whole))),
            ("application/*, text/html", Some((Wire::Json, Shape::Whole))),
            ("application/json;stream=watch", Some((Wire::Json, Shape::Whole))),
            ("application/json;as=Pod;v=v1;g=meta.k8s.io", None),
            ("application/json;as=Table;v=v7;g=meta.k8s.io", None),
            ("application/json;stream=other", None),
            ("text/plain", None),
        ] {
            assert_eq!(form(header), want, "{header}");
        }
    }

    #[test]
    fn custom_kinds_have_metadata_in_protobuf() {
        const BOTH: &str = "application/vnd.kubernetes.protobuf,application/json";
        const PARTIAL: &str =
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        assert_eq!(custom(BOTH), Some((Wire::Json, Shape::Whole)));
        assert_eq!(custom("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(custom(PARTIAL), Some((Wire::Protobuf, Shape::Partial)));
        assert_eq!(plain(&accept(BOTH), None).unwrap().wire, Wire::Protobuf, "errors are no custom kind");
        assert_eq!(text(&accept(BOTH), None).unwrap().wire, Wire::Json);
    }

    #[test]
    fn refusals_name_what_is_served() {
        const ONLY: &str = "only the following media types are accepted: ";
        for (error, served) in [
            (objects(&accept("text/plain"), None, false), SERVED),
            (objects(&accept("application/vnd.kubernetes.protobuf"), None, false), SERVED),
            (watch(&accept("application/yaml"), None, true), SERVED_STREAMS),
            (
                text(&accept("application/vnd.kubernetes.protobuf"), None),
                "application/json, application/yaml",
            ),
        ] {
            let error = error.unwrap_err();
            assert_eq!((error.code(), error.message()), (406, &*format!("{ONLY}{served}")));
        }
    }

    #[test]
    fn media_types_that_nobody_serves_do_not_reach_a_kind() {
        for error in [
            objects(&accept("text/plain"), None, true).unwrap_err(),
            watch(&accept("application/cbor"), None, true).unwrap_err(),
        ] {
            assert!(error.message().starts_with("406: Not Acceptable") && error.message().ends_with(SERVED));
            assert_eq!(error.details(), Some(&Details::default()));
        }
    }

    #[test]
    fn discovery_prefers_the_aggregated_document() {
        let header = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
             application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery(&accept(header), None).unwrap().shape, Shape::Discovery { beta: false });
        assert_eq!(discovery(&accept("application/json"), None).unwrap().shape, Shape::Whole);
        assert_eq!(discovery(&HeaderMap::new(), None).unwrap().shape, Shape::Whole);
    }

    #[test]
    fn people_get_indented_json() {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, "curl/8".parse().unwrap());
        assert!(plain(&headers, None).unwrap().pretty);
        assert!(!plain(&headers, Some("pretty=false")).unwrap().pretty);
        assert!(plain(&HeaderMap::new(), Some("pretty=true")).unwrap().pretty);
    }

    #[test]
    fn bodies_are_json_yaml_or_protobuf() {
        let typed = |text: &str| HeaderMap::from_iter([(header::CONTENT_TYPE, text.parse().unwrap())]);
        assert_eq!(body(&HeaderMap::new(), false).unwrap(), BodyForm::Json);
        assert_eq!(body(&typed("application/json; charset=utf-8"), true).unwrap(), BodyForm::Json);
        assert_eq!(body(&typed("application/yaml"), false).unwrap(), BodyForm::Yaml);
        let protobuf = typed("application/vnd.kubernetes.protobuf");
        assert_eq!(body(&protobuf, false).unwrap(), BodyForm::Protobuf);
        assert_eq!(body(&protobuf, true).unwrap_err().code(), 415);
        assert_eq!(body(&typed("application/cbor"), false).unwrap_err().code(), 415);
    }
}
