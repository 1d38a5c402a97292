//! Turns ingresses, services and slices into routes and endpoints. Pure.
//!
//! Upstream: kubernetes/ingress-nginx internal/ingress/controller/controller.go, for what the API leaves open.

pub mod options;
pub mod routes;

use crate::index::{
    Index, Slices, Subject,
    views::{BackendPort, IngressBackend, IngressView},
};
use options::Parsed;
use proa_kit::{
    Key,
    project::Dirty,
    views::{ServiceView, endpoint_slice::Endpoint},
};
use routes::{Canary, Route, Target, Vhost};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

/// What brings the table up to date.
#[derive(Debug, Default)]
pub struct Change {
    /// Whether it covers everything.
    pub is_whole: bool,
    /// Whether there is anything to serve.
    pub serves: bool,
    /// Hosts, and those that are gone.
    pub hosts: Vec<(Box<str>, Option<Arc<Vhost>>)>,
    /// Ports of services, and services that no ingress names any more.
    pub services: Vec<(Key, BTreeMap<BackendPort, Vec<SocketAddr>>)>,
}

/// The change that marked keys need.
pub fn render(index: &Index, dirty: &Dirty<Subject>) -> Change {
    let mut change = Change { serves: index.serves(), ..Change::default() };
    match dirty {
        Dirty::All => {
            change.is_whole = true;
            index.subjects().for_each(|subject| change.add(index, &subject));
        }
        Dirty::Keys(keys) => keys.iter().for_each(|subject| change.add(index, subject)),
    }
    change
}

impl Change {
    fn add(&mut self, index: &Index, subject: &Subject) {
        match subject {
            Subject::Host(host) => self.hosts.push((host.clone(), vhost(index, host).map(Arc::new))),
            Subject::Service(key) => self.services.push((key.clone(), service(index, key))),
        }
    }
}

fn vhost(index: &Index, host: &str) -> Option<Vhost> {
    let mut vhost = Vhost::default();
    let mut canaries = Vec::new();
    for ingress in index.of_host(host) {
        let parsed = options::parse(&ingress.metadata.annotations);
        match parsed.canary {
            Some(_) => canaries.push((ingress, parsed)),
            None => {
                add_paths(&mut vhost, ingress, host, parsed);
                add_tls(&mut vhost, index, ingress, host);
            }
        }
    }
    for (ingress, parsed) in canaries {
        add_canaries(&mut vhost, ingress, host, &parsed);
    }
    Some(vhost).filter(|vhost| !vhost.is_empty())
}

fn add_paths(vhost: &mut Vhost, ingress: &IngressView, host: &str, parsed: Parsed) {
    let options = Arc::new(parsed.options);
    let route = |backend| Route { target: target(ingress, backend), options: options.clone(), canary: None };
    let mut rules = ingress.spec.rules.iter().filter(|rule| *rule.host == *host).peekable();
    if let Some(backend) = &ingress.spec.default_backend
        && (host.is_empty() || rules.peek().is_some())
    {
        vhost.fallback.get_or_insert_with(|| route(backend));
    }
    for path in rules.flat_map(|rule| &rule.http).flat_map(|http| &http.paths) {
        // What cannot be compiled is told by `status`.
        let _ = vhost.add(&path.path_type, text_of(&path.path), route(&path.backend));
    }
}

fn add_canaries(vhost: &mut Vhost, ingress: &IngressView, host: &str, parsed: &Parsed) {
    let Some(share) = &parsed.canary else { return };
    let rules = ingress.spec.rules.iter().filter(|rule| *rule.host == *host);
    for path in rules.flat_map(|rule| &rule.http).flat_map(|http| &http.paths) {
        let main = vhost.route_mut(&path.path_type, text_of(&path.path));
        if let (Some(main), Some(target)) = (main, target(ingress, &path.backend)) {
            main.canary.get_or_insert_with(|| Canary { share: share.clone(), target });
        }
    }
}

fn add_tls(vhost: &mut Vhost, index: &Index, ingress: &IngressView, host: &str) {
    for tls in ingress.spec.tls.iter().filter(|tls| covers(ingress, &tls.hosts, host)) {
        vhost.has_tls = true;
        let secret = index.secret_of(&ingress.metadata.namespace, &tls.secret_name);
        if let (None, Some(secret)) = (&vhost.certificate, secret) {
            vhost.certificate = Some(secret.clone());
        }
    }
}

/// Whether an entry of `tls` is about a host; without hosts it is about all of the ingress.
fn covers(ingress: &IngressView, hosts: &[Box<str>], host: &str) -> bool {
    if hosts.is_empty() {
        return ingress.spec.rules.iter().any(|rule| *rule.host == *host)
            || host.is_empty() && ingress.spec.rules.is_empty();
    }
    let domain = host.split_once('.').map(|(_, domain)| domain);
    hosts.iter().any(|own| **own == *host || own.strip_prefix("*.").is_some_and(|own| Some(own) == domain))
}

/// No path is all paths.
fn text_of(path: &str) -> &str {
    if path.is_empty() { "/" } else { path }
}

fn target(ingress: &IngressView, backend: &IngressBackend) -> Option<Target> {
    let service = backend.service.as_ref()?;
    let key = Key::new(&ingress.metadata.namespace, &service.name);
    Some(Target { service: key, port: service.port.clone() })
}

fn service(index: &Index, key: &Key) -> BTreeMap<BackendPort, Vec<SocketAddr>> {
    let wanted = index.ports_of(key);
    let found = index.service_of(key);
    let endpoints = |port: &BackendPort| {
        found.map(|(service, slices)| endpoints(service, slices, port)).unwrap_or_default()
    };
    wanted.into_iter().map(|port| (port.clone(), endpoints(&port))).collect()
}

/// The name of a service's port in its slices.
pub(crate) fn port_name<'a>(service: &'a ServiceView, port: &BackendPort) -> Option<&'a str> {
    let is_it = |number: i32, name: &str| {
        if port.name.is_empty() { number == port.number } else { *port.name == *name }
    };
    let mut ports = service.spec.ports.iter();
    ports.find(|own| &*own.protocol != "UDP" && is_it(own.port, &own.name)).map(|own| &*own.name)
}

/// Whether a service only stands for another name.
pub(crate) fn is_external(service: &ServiceView) -> bool {
    &*service.spec.kind == "ExternalName"
}

/// Addresses that take traffic. When none is ready, those that end but still serve are better than none, as for services.
fn endpoints(service: &ServiceView, slices: Option<&Slices>, port: &BackendPort) -> Vec<SocketAddr> {
    let Some(name) = port_name(service, port).filter(|_| !is_external(service)) else { return Vec::new() };
    let slices = || slices.into_iter().flat_map(|slices| slices.values());
    let chosen = |takes: fn(&Endpoint) -> bool| {
        let mut found = BTreeSet::new();
        for slice in slices().filter(|slice| &*slice.address_type != "FQDN") {
            let mut ports = slice.ports.iter();
            let own = ports.find(|own| own.name.as_deref().unwrap_or_default() == name);
            let Some(number) = own.and_then(|own| u16::try_from(own.port?).ok()) else { continue };
            let addresses = slice.endpoints.iter().filter(|endpoint| takes(endpoint));
            let addresses = addresses.filter_map(|endpoint| endpoint.addresses.first()?.parse().ok());
            found.extend(addresses.map(|address| SocketAddr::new(address, number)));
        }
        found
    };
    let ready = chosen(|endpoint| endpoint.conditions.ready != Some(false));
    let found = if ready.is_empty() {
        chosen(|endpoint| {
            endpoint.conditions.serving == Some(true) && endpoint.conditions.terminating == Some(true)
        })
    } else {
        ready
    };
    found.into_iter().collect()
}
