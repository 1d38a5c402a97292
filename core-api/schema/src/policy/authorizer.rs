//! The `authorizer`: questions of expressions about what users may do.
//!
//! A selector that cannot be read does not count, as upstream.
//! Upstream: apiserver `pkg/cel/library/authz.go`.

use crate::cel::{Error, Foreign, Value};
use proa_meta::names;
use std::{fmt, sync::Arc};

pub(super) const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub(super) const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
const DECISION: &str = "kubernetes.authorization.Decision";

/// Functions and their signatures.
pub(super) const FUNCTIONS: [(&str, &str); 15] = [
    ("path", "kubernetes.authorization.Authorizer.(string) kubernetes.authorization.PathCheck"),
    ("group", "kubernetes.authorization.Authorizer.(string) kubernetes.authorization.GroupCheck"),
    (
        "serviceAccount",
        "kubernetes.authorization.Authorizer.(string, string) kubernetes.authorization.Authorizer",
    ),
    ("resource", "kubernetes.authorization.GroupCheck.(string) kubernetes.authorization.ResourceCheck"),
    ("subresource", "kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.ResourceCheck"),
    ("namespace", "kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.ResourceCheck"),
    ("name", "kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.ResourceCheck"),
    (
        "fieldSelector",
        "kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.ResourceCheck",
    ),
    (
        "labelSelector",
        "kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.ResourceCheck",
    ),
    ("check", "kubernetes.authorization.PathCheck.(string) kubernetes.authorization.Decision"),
    ("check", "kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.Decision"),
    ("allowed", "kubernetes.authorization.Decision.() bool"),
    ("errored", "kubernetes.authorization.Decision.() bool"),
    ("error", "kubernetes.authorization.Decision.() string"),
    ("reason", "kubernetes.authorization.Decision.() string"),
];

/// What is asked about a resource; empty parts stand for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// API group.
    pub group: String,
    /// Resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Field selector.
    pub field_selector: String,
    /// Label selector.
    pub label_selector: String,
}

/// What a question is about.
#[derive(Clone, Copy, Debug)]
pub enum Checked<'a> {
    /// A path that names no resource.
    Path(&'a str),
    /// A resource.
    Resource(&'a Checks),
}

/// One question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// API verb, or HTTP method of a path.
    pub verb: &'a str,
    /// Namespace and name of a service account that is asked about instead of who sent the request.
    pub service_account: Option<(&'a str, &'a str)>,
    /// About what.
    pub about: Checked<'a>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, or why not.
    pub reason: String,
    /// Why there is no answer; empty when there is one.
    pub error: String,
}

/// Answers questions on behalf of who sent a request.
pub trait Authorize: fmt::Debug + Send + Sync {
    /// The answer.
    fn authorize(&self, question: &Question<'_>) -> Answer;
}

/// Who answers, and about whom.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) authorize: Arc<dyn Authorize>,
    service_account: Option<(String, String)>,
}

/// A question on its way.
#[derive(Clone, Debug)]
enum Step {
    Start,
    Path(String),
    Group(String),
    Resource(Checks),
    Decided(Answer),
}

#[derive(Debug)]
struct Authorizer {
    asking: Asking,
    step: Step,
}

impl Asking {
    pub(super) const fn new(authorize: Arc<dyn Authorize>) -> Self {
        Self { authorize, service_account: None }
    }
    /// `authorizer`.
    pub(super) fn start(&self) -> Value<'static> {
        self.at(Step::Start)
    }
    /// `authorizer.requestResource`.
    pub(super) fn about(&self, checks: &Checks) -> Value<'static> {
        self.at(Step::Resource(checks.clone()))
    }
    fn at(&self, step: Step) -> Value<'static> {
        Value::Foreign(Arc::new(Authorizer { asking: self.clone(), step }))
    }
    fn ask(&self, verb: &str, about: Checked<'_>) -> Step {
        let account = self.service_account.as_ref();
        let service_account = account.map(|(namespace, name)| (namespace.as_str(), name.as_str()));
        Step::Decided(self.authorize.authorize(&Question { verb, service_account, about }))
    }
}

/// A text that is not blank.
fn filled(what: &str, text: &str) -> Result<String, Error> {
    if text.trim().is_empty() {
        Err(Error::new(format!("{what} must not be empty")))
    } else {
        Ok(text.to_owned())
    }
}

impl Authorizer {
    fn service_account(&self, namespace: &str, name: &str) -> Result<Value<'static>, Error> {
        if !names::name_is_dns_subdomain(name, false).is_empty() {
            return Err(Error::new("Invalid service account name"));
        }
        if !names::name_is_dns_label(namespace, false).is_empty() {
            return Err(Error::new("Invalid service account namespace"));
        }
        let service_account = Some((namespace.to_owned(), name.to_owned()));
        Ok(Asking { service_account, ..self.asking.clone() }.start())
    }

    fn narrowed(checks: &Checks, function: &str, text: &str) -> Checks {
        let mut checks = checks.clone();
        match function {
            "subresource" => text.clone_into(&mut checks.subresource),
            "namespace" => text.clone_into(&mut checks.namespace),
            "name" => text.clone_into(&mut checks.name),
            "fieldSelector" => text.clone_into(&mut checks.field_selector),
            _ => text.clone_into(&mut checks.label_selector),
        }
        checks
    }
}

impl Foreign for Authorizer {
    fn type_name(&self) -> &str {
        match self.step {
            Step::Start => AUTHORIZER,
            Step::Path(_) => PATH_CHECK,
            Step::Group(_) => GROUP_CHECK,
            Step::Resource(_) => RESOURCE_CHECK,
            Step::Decided(_) => DECISION,
        }
    }

    fn call<'s>(&self, function: &str, arguments: &[Value<'s>]) -> Result<Value<'s>, Error> {
        let texts: Option<Vec<&str>> = arguments.iter().map(Value::as_str).collect();
        let texts = texts.ok_or(Error::NoSuchOverload)?;
        let step = match (&self.step, function, texts.as_slice()) {
            (Step::Start, "path", [path]) => Step::Path(filled("path", path)?),
            (Step::Start, "group", [group]) => Step::Group((*group).to_owned()),
            (Step::Start, "serviceAccount", [namespace, name]) => {
                return self.service_account(namespace, name);
            }
            (Step::Group(group), "resource", [resource]) => {
                let (group, resource) = (group.clone(), filled("resource", resource)?);
                Step::Resource(Checks { group, resource, ..Checks::default() })
            }
            (
                Step::Resource(checks),
                "subresource" | "namespace" | "name" | "fieldSelector" | "labelSelector",
                [text],
            ) => Step::Resource(Self::narrowed(checks, function, text)),
            (Step::Path(path), "check", [verb]) => self.asking.ask(verb, Checked::Path(path)),
            (Step::Resource(checks), "check", [verb]) => self.asking.ask(verb, Checked::Resource(checks)),
            (Step::Decided(answer), "allowed", []) => return Ok(Value::Bool(answer.allowed)),
            (Step::Decided(answer), "errored", []) => return Ok(Value::Bool(!answer.error.is_empty())),
            (Step::Decided(answer), "error", []) => return Ok(Value::text(answer.error.as_str())),
            (Step::Decided(answer), "reason", []) => return Ok(Value::text(answer.reason.as_str())),
            _ => return Err(Error::NoSuchOverload),
        };
        Ok(self.asking.at(step))
    }
}
