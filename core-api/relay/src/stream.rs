//! `pods/exec`, `pods/attach`, `pods/portforward`: a connection to the pod's node agent, joined with the client's.
//!
//! Both protocols of clients (SPDY, WebSocket) are the agent's to speak. Upstream:
//! `pkg/registry/core/pod/rest/{subresources,authorize}.go`, `pkg/registry/core/pod/strategy.go`.

use crate::{
    Relay, containers,
    objects::{self, PODS, Pod},
};
use futures::future::BoxFuture;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proa_meta::{ApiError, ApiResult};
use proa_registry::Decision;
use proa_server::{
    Response,
    connect::{Connect, ConnectRequest},
    query::Query,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is wanted of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exec,
    Attach,
    PortForward,
}

/// The connector of one of them.
pub(crate) struct Stream {
    pub(crate) relay: Arc<Relay>,
    pub(crate) kind: Kind,
}

impl Connect for Stream {
    fn options(&self, request: &ConnectRequest) -> Option<Value> {
        Some(options(self.kind, &Query::parse(request.request.uri.query())))
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, ApiResult<Response>> {
        Box::pin(self.open(request))
    }
}

impl Stream {
    async fn open(&self, asked: ConnectRequest) -> ApiResult<Response> {
        self.relay.require_create(&asked).await?;
        let pod: Pod = objects::get(&self.relay.registry, &PODS, &asked.info.namespace, &asked.info.name)?;
        let query = Query::parse(asked.request.uri.query());
        let path = path(self.kind, &asked.info.namespace, &asked.info.name, &pod, &query)?;
        let node = &pod.spec.node_name;
        if node.is_empty() {
            return Err(ApiError::bad_request(format!(
                "pod {} does not have a host assigned",
                asked.info.name
            )));
        }
        let agent = self.relay.agent(node)?;
        asked.request.require_upgrade()?;
        self.relay.upgrade(self.relay.to_agent(agent), &path, &asked.request).await
    }
}

impl Relay {
    /// A WebSocket starts with GET, which is the verb `get`; what it does needs `create` all the same.
    async fn require_create(&self, asked: &ConnectRequest) -> ApiResult<()> {
        const CREATE: &str = "create";
        if asked.info.verb == CREATE {
            return Ok(());
        }
        let mut question = asked.attributes();
        question.verb = CREATE.to_owned();
        match self.authorizer.authorize(&question).await {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(why) | Decision::NoOpinion(why) => {
                Err(ApiError::forbidden(&PODS.group_resource(), &asked.info.name, &why))
            }
        }
    }
}

/// What is asked for, as the object that admission is shown.
fn options(kind: Kind, query: &Query<'_>) -> Value {
    let name = match kind {
        Kind::PortForward => {
            let ports: Vec<i64> =
                query.all("ports").flat_map(|p| p.split(',')).flat_map(str::parse).collect();
            let mut options = json!({"kind": "PodPortForwardOptions", "apiVersion": "v1"});
            if !ports.is_empty() {
                options["ports"] = json!(ports);
            }
            return options;
        }
        Kind::Exec => "PodExecOptions",
        Kind::Attach => "PodAttachOptions",
    };
    let mut options = json!({"kind": name, "apiVersion": "v1"});
    for flag in ["stdin", "stdout", "stderr", "tty"] {
        if query.flag(flag) == Some(true) {
            options[flag] = json!(true);
        }
    }
    if let Some(container) = query.text("container") {
        options["container"] = json!(container);
    }
    if kind == Kind::Exec {
        options["command"] = json!(query.all("command").collect::<Vec<_>>());
    }
    options
}

/// Everything but what needs no escape in a query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One parameter of a query, written.
pub(crate) fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}", utf8_percent_encode(value, QUERY))
}

/// A path with its query.
pub(crate) fn with_query(path: String, parameters: &[String]) -> String {
    if parameters.is_empty() { path } else { format!("{path}?{}", parameters.join("&")) }
}

/// Path and query for the agent.
fn path(kind: Kind, namespace: &str, name: &str, pod: &Pod, query: &Query<'_>) -> ApiResult<String> {
    let verb = match kind {
        Kind::PortForward => {
            let ports: Vec<&str> = query.all("ports").collect();
            let ports = (!ports.is_empty()).then(|| parameter("port", &ports.join(",")));
            return Ok(with_query(format!("/portForward/{namespace}/{name}"), ports.as_slice()));
        }
        Kind::Exec => "exec",
        Kind::Attach => "attach",
    };
    let container = containers::chosen(pod, name, query.get("container").unwrap_or_default())?;
    let mut parameters = Vec::new();
    if kind == Kind::Exec {
        parameters.extend(query.all("command").map(|word| parameter("command", word)));
    }
    for (theirs, ours) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if query.flag(theirs) == Some(true) {
            parameters.push(format!("{ours}=1"));
        }
    }
    Ok(with_query(format!("/{verb}/{namespace}/{name}/{container}"), &parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_agent(kind: Kind, query: &str) -> Result<String, String> {
        let pod = serde_json::from_str(r#"{"spec": {"containers": [{"name": "a"}]}}"#).unwrap();
        path(kind, "d", "p", &pod, &Query::parse(Some(query))).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn admission_is_shown_the_options_as_an_object() {
        let shown = |kind, query| options(kind, &Query::parse(Some(query)));
        assert_eq!(
            shown(Kind::Exec, "command=sh&command=-c&stdin=true&stdout=1&stderr=false&container=a"),
            json!({"kind": "PodExecOptions", "apiVersion": "v1", "stdin": true, "stdout": true, "container": "a",
                   "command": ["sh", "-c"]})
        );
        assert_eq!(
            shown(Kind::Attach, "tty"),
            json!({"kind": "PodAttachOptions", "apiVersion": "v1", "tty": true})
        );
        assert_eq!(
            shown(Kind::PortForward, "ports=80&ports=81"),
            json!({"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": [80, 81]})
        );
    }

    #[test]
    fn options_become_the_agents_parameters() {
        let table = [
            (
                Kind::Exec,
                "command=sh&command=-c&command=echo%20%26+%C3%A4&stdin=true&stdout=1&stderr=false&tty",
                "/exec/d/p/a?command=sh&command=-c&command=echo%20%26%20%C3%A4&input=1&output=1&tty=1",
            ),
            (Kind::Attach, "container=a&command=x&stderr=true", "/attach/d/p/a?error=1"),
            (Kind::Attach, "", "/attach/d/p/a"),
            (Kind::PortForward, "ports=80&ports=81", "/portForward/d/p?port=80%2C81"),
            (Kind::PortForward, "container=x", "/portForward/d/p"),
        ];
        for (kind, query, want) in table {
            assert_eq!(to_agent(kind, query).as_deref(), Ok(want), "{kind:?} {query}");
        }
        let wrong = to_agent(Kind::Exec, "container=b").unwrap_err();
        assert_eq!(wrong, "container b is not valid for pod p");
    }
}
