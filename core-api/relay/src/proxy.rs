//! `pods/proxy`, `services/proxy`, `nodes/proxy`: HTTP requests of any method and path, and WebSockets.
//!
//! Upstream: `ResourceLocation` of `pkg/registry/core/{pod,node,service}`, apimachinery
//! `pkg/util/proxy/{upgradeaware,transport}.go`.

mod address;
mod endpoints;
mod html;
mod location;
mod page;

pub(crate) use address::is_global_unicast;

use crate::{
    Relay,
    dial::{DialError, Target},
    forward, headers,
    objects::{self, NODES, Node, PODS, Pod, SERVICES, Service},
};
use address::{Named, Scheme};
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use location::Seen;
use proa_meta::{ApiError, ApiResult};
use proa_server::{
    Body, Request, Response, Switch,
    connect::{Connect, ConnectRequest},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is behind a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Pod,
    Service,
    Node,
}

/// The connector of one of them.
pub(crate) struct Proxy {
    pub(crate) relay: Arc<Relay>,
    pub(crate) to: To,
}

impl Connect for Proxy {
    fn options(&self, request: &ConnectRequest) -> Option<Value> {
        let kind = match self.to {
            To::Pod => "PodProxyOptions",
            To::Service => "ServiceProxyOptions",
            To::Node => "NodeProxyOptions",
        };
        let mut options = json!({"kind": kind, "apiVersion": "v1"});
        let (_, path) = location::split(request.request.uri.path(), !request.info.namespace.is_empty());
        if !path.is_empty() {
            options["path"] = json!(path);
        }
        Some(options)
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, ApiResult<Response>> {
        Box::pin(self.pass(request))
    }
}

impl Proxy {
    async fn pass(&self, asked: ConnectRequest) -> ApiResult<Response> {
        let ConnectRequest { request, info, .. } = asked;
        let target = match self.to {
            To::Pod => self.relay.pod(&info.namespace, &info.name)?,
            To::Service => self.relay.service(&info.namespace, &info.name)?,
            To::Node => self.relay.node(&info.name)?,
        };
        let (prefix, path) = location::split(request.uri.path(), !info.namespace.is_empty());
        let query = request.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        if request.switch == Switch::Offered {
            let path = if path.is_empty() { "/" } else { path };
            return self.relay.upgrade(target, &format!("{path}{query}"), &request).await;
        }
        if path.is_empty() && matches!(request.method, Method::GET | Method::HEAD) {
            // Relative links of what is behind would otherwise lead nowhere.
            return moved(&format!("{}/{query}", request.uri.path()));
        }
        let path = if path.is_empty() { "/" } else { path };
        let (prefix, path) = (prefix.to_owned(), path.to_owned());
        self.relay.exchange(target, &prefix, &path, &query, request).await
    }
}

fn moved(to: &str) -> ApiResult<Response> {
    let mut headers = HeaderMap::new();
    headers.insert(header::LOCATION, HeaderValue::from_str(to).map_err(ApiError::internal)?);
    Ok(Response { status: StatusCode::MOVED_PERMANENTLY, headers, body: Body::empty() })
}

impl Relay {
    /// Passes on one request and its answer.
    async fn exchange(
        &self,
        target: Target,
        prefix: &str,
        path: &str,
        query: &str,
        request: Request,
    ) -> ApiResult<Response> {
        let failed =
            |error: DialError| ApiError::unavailable(format!("error trying to reach service: {error}"));
        let mut headers = headers::forwarded(&request.headers, forward::client(&request));
        headers::remove_hop_by_hop(&mut headers);
        headers::set_forwarded_uri(&mut headers, &format!("{prefix}{path}"));
        let host = request.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let is_head = request.method == Method::HEAD;
        let seen = Seen { prefix, target: &target.authority(), client: host };
        let out =
            forward::outgoing(&target, &format!("{path}{query}"), request.method, headers, request.body)?;
        let answer = self.dialer.send(target, out).await.map_err(failed)?;
        if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(forward::unknown("the backend switched protocols without being asked to".to_owned()));
        }
        let mut response = forward::streamed(answer);
        headers::remove_cors(&mut response.headers);
        if let Some(location) = response.headers.get_mut(header::LOCATION) {
            let rewritten = location.to_str().ok().map(|text| seen.rewrite(text));
            if let Some(value) = rewritten.and_then(|text| HeaderValue::from_str(&text).ok()) {
                *location = value;
            }
        }
        if is_head {
            return Ok(response);
        }
        Ok(page::through(response, |link| seen.rewrite(link)).await)
    }

    /// Where a pod is reached: the port named, or its first.
    fn pod(&self, namespace: &str, id: &str) -> ApiResult<Target> {
        let named = Named::parse("pod", id)?;
        let pod: Pod = objects::get(&self.registry, &PODS, namespace, named.name)?;
        let ip = match pod.status.pod_ips.first() {
            Some(first) => &first.ip,
            None => &pod.status.pod_ip,
        };
        let host = address::reached(ip, self.reach)?;
        let first = || pod.spec.containers.iter().find_map(|container| container.ports.first());
        let port = match named.port {
            "" => first().map(|port| port.container_port),
            port => Some(named.number("pod", port)?),
        };
        Ok(self.outside(named.scheme, host, port))
    }

    /// Where one of a service's endpoints is reached.
    fn service(&self, namespace: &str, id: &str) -> ApiResult<Target> {
        let named = Named::parse("service", id)?;
        let service: Service = objects::get(&self.registry, &SERVICES, namespace, named.name)?;
        let (host, port) = self.endpoint(&service, namespace, named.name, named.port)?;
        Ok(self.outside(named.scheme, host, Some(port)))
    }

    /// Where the port of a service is reached without a service proxy: one of its endpoints, or whom it stands for.
    pub(crate) fn served(&self, namespace: &str, name: &str, port: u16) -> ApiResult<(String, u16)> {
        let service: Service = objects::get(&self.registry, &SERVICES, namespace, name)?;
        if service.spec.kind == "ExternalName" {
            return Ok((service.spec.external_name, port));
        }
        self.endpoint(&service, namespace, name, &port.to_string())
    }

    /// Address and port of one of a service's endpoints.
    pub(crate) fn endpoint(
        &self,
        service: &Service,
        namespace: &str,
        name: &str,
        port: &str,
    ) -> ApiResult<(String, u16)> {
        let port = endpoints::port_name(service, name, port)?;
        let slices = objects::slices_of(&self.registry, namespace, name);
        let is_there = |endpoint: &objects::Endpoint, ip: &str| self.is_endpoint(namespace, endpoint, ip);
        let start = usize::try_from(uuid::Uuid::new_v4().as_u128() & 0xffff_ffff).unwrap_or(0);
        let found = endpoints::choose(&slices, port, start, is_there);
        let (ip, port) = found
            .ok_or_else(|| ApiError::unavailable(format!("no endpoints available for service {name:?}")))?;
        Ok((address::reached(&ip, self.reach)?, port))
    }

    /// Whether an address may be reached and still belongs to the pod that it is said to belong to.
    fn is_endpoint(&self, namespace: &str, endpoint: &objects::Endpoint, ip: &str) -> bool {
        if address::reached(ip, self.reach).is_err() {
            return false;
        }
        let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
        pod.is_none_or(|target| {
            let pod = objects::get::<Pod>(&self.registry, &PODS, namespace, &target.name);
            pod.is_ok_and(|pod| pod.status.pod_ip == ip || pod.status.pod_ips.iter().any(|own| own.ip == ip))
        })
    }

    /// Where a node is reached: its agent, or another port.
    fn node(&self, id: &str) -> ApiResult<Target> {
        let named = Named::parse("node", id)?;
        objects::get::<Node>(&self.registry, &NODES, "", named.name)?;
        let agent = self.agent(named.name)?;
        let port = match named.port {
            "" => agent.port,
            port => named.number("node", port)?,
        };
        if port == agent.port {
            return Ok(self.to_agent(agent));
        }
        let host = address::reached_host(&agent.host, self.reach)?;
        Ok(self.outside(named.scheme, host, Some(port)))
    }

    /// A target whose certificate, if it has one, nobody knows.
    fn outside(&self, scheme: Scheme, host: String, port: Option<u16>) -> Target {
        let (tls, usual) = match scheme {
            Scheme::Http => (None, 80),
            Scheme::Https => (Some(self.trust.others.clone()), 443),
        };
        Target { tls, host, port: port.unwrap_or(usual), name: None }
    }
}
