//! What a path asks for. Pure.

use super::reply::Refusal;
use http::Method;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// Whether the agent is well.
    Healthz,
    /// The node's pods.
    Pods,
    /// How the agent is set up.
    Configz,
    /// A file of the node's logs.
    NodeLogs(&'a str),
    /// What node and pods use.
    Summary,
    /// The same and more, for collectors.
    Metrics(Metrics),
    /// A container's log.
    ContainerLogs(Path<'a>),
    /// A command in a container, without streams.
    Run(Path<'a>),
    /// A command in a container.
    Exec(Path<'a>),
    /// A container's first process.
    Attach(Path<'a>),
    /// A pod's ports.
    PortForward(Path<'a>),
}

/// Which metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metrics {
    /// The agent's own.
    Agent,
    /// CPU and memory of node, pods and containers.
    Resource,
    /// Containers in detail.
    Containers,
}

/// A pod or container in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    /// Namespace.
    pub(super) namespace: &'a str,
    /// Pod.
    pub(super) pod: &'a str,
    /// UID of the pod, where the path has it.
    pub(super) uid: Option<&'a str>,
    /// Container; empty where a pod is meant.
    pub(super) container: &'a str,
}

impl<'a> Route<'a> {
    /// Reads a path.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let (root, rest) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
        match (root, rest) {
            // Its parts are all well when it answers.
            ("healthz", "" | "ping" | "log" | "syncloop") => Some(Self::Healthz),
            ("pods", "") => Some(Self::Pods),
            ("configz", "") => Some(Self::Configz),
            ("logs", file) => Some(Self::NodeLogs(file)),
            ("stats", "summary") => Some(Self::Summary),
            ("metrics", "") => Some(Self::Metrics(Metrics::Agent)),
            ("metrics", "resource") => Some(Self::Metrics(Metrics::Resource)),
            ("metrics", "cadvisor") => Some(Self::Metrics(Metrics::Containers)),
            ("containerLogs", rest) => {
                container(rest).filter(|path| path.uid.is_none()).map(Self::ContainerLogs)
            }
            ("run", rest) => container(rest).map(Self::Run),
            ("exec", rest) => container(rest).map(Self::Exec),
            ("attach", rest) => container(rest).map(Self::Attach),
            ("portForward", rest) => pod(rest).map(Self::PortForward),
            _ => None,
        }
    }

    /// Refuses methods that the route does not take.
    pub(super) fn check_method(self, method: &Method) -> Result<(), Refusal> {
        let allowed: &[Method] = match self {
            Self::Run(_) => &[Method::POST],
            Self::Exec(_) | Self::Attach(_) | Self::PortForward(_) => &[Method::GET, Method::POST],
            _ => &[Method::GET],
        };
        if allowed.contains(method) {
            return Ok(());
        }
        Err(Refusal::method_not_allowed(match allowed {
            [Method::GET] => "GET",
            [Method::POST] => "POST",
            _ => "GET, POST",
        }))
    }
}

fn parts(rest: &str) -> Vec<&str> {
    rest.strip_suffix('/').unwrap_or(rest).split('/').collect()
}

fn container(rest: &str) -> Option<Path<'_>> {
    let path = match parts(rest)[..] {
        [namespace, pod, container] => Path { namespace, pod, uid: None, container },
        [namespace, pod, uid, container] => Path { namespace, pod, uid: Some(uid), container },
        _ => return None,
    };
    let is_whole = ![path.namespace, path.pod, path.container].contains(&"") && path.uid != Some("");
    is_whole.then_some(path)
}

fn pod(rest: &str) -> Option<Path<'_>> {
    let path = match parts(rest)[..] {
        [namespace, pod] => Path { namespace, pod, uid: None, container: "" },
        [namespace, pod, uid] => Path { namespace, pod, uid: Some(uid), container: "" },
        _ => return None,
    };
    let is_whole = ![path.namespace, path.pod].contains(&"") && path.uid != Some("");
    is_whole.then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_paths_are_known() {
        let web = Path { namespace: "shop", pod: "web", uid: None, container: "app" };
        for (path, route) in [
            ("/healthz", Some(Route::Healthz)),
            ("/healthz/ping", Some(Route::Healthz)),
            ("/pods", Some(Route::Pods)),
            ("/pods/", Some(Route::Pods)),
            ("/logs/", Some(Route::NodeLogs(""))),
            ("/logs/a/b", Some(Route::NodeLogs("a/b"))),
            ("/metrics/resource", Some(Route::Metrics(Metrics::Resource))),
            ("/containerLogs/shop/web/app", Some(Route::ContainerLogs(web))),
            ("/exec/shop/web/app", Some(Route::Exec(web))),
            ("/attach/shop/web/7/app", Some(Route::Attach(Path { uid: Some("7"), ..web }))),
            ("/portForward/shop/web", Some(Route::PortForward(Path { container: "", ..web }))),
            ("/containerLogs/shop/web", None),
            ("/containerLogs/shop/web/7/app", None),
            ("/exec/shop//app", None),
            ("/", None),
            ("", None),
            ("/secrets", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn reading_takes_only_get() {
        assert_eq!(Route::Pods.check_method(&Method::GET), Ok(()));
        assert_eq!(Route::Pods.check_method(&Method::POST), Err(Refusal::method_not_allowed("GET")));
    }
}
