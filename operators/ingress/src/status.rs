//! What the API is told: what of an ingress cannot be done (`status`), the class (`class`), addresses (`address`).
//!
//! This file is the part that runs once in a cluster and writes nothing but events; the class is made by the same process.
//! Addresses are written by each node.

pub mod address;
pub mod class;
mod shared;

use crate::{
    index::{
        backends,
        class::serves,
        hosts, secrets,
        views::{BackendService, IngressView, TlsSecretView},
    },
    render::{
        is_external,
        options::{Problem, parse},
        port_name,
        routes::{Route, Vhost},
    },
    sink::tls::certified,
};
use proa_kit::{
    Action, Change, Error, Filter, Index, Key, Operator, Plan, Reader, Timestamp, Typed, View, Watch, Write,
    views::{IngressClassView, ServiceView},
    watch::WatchOf,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// Secrets that can hold a certificate: only these are watched.
pub(crate) fn tls_secrets() -> Filter {
    Filter::fields("type=kubernetes.io/tls")
}

/// Ingresses by the services that they name.
const SERVICES: Index<IngressView> = Index {
    name: "services",
    values: |ingress, found| {
        let namespace = &ingress.metadata.namespace;
        backends(ingress).for_each(|backend| found(Key::new(namespace, &backend.name).as_str()));
    },
};
/// Ingresses by the secrets that they name.
const SECRETS: Index<IngressView> = Index {
    name: "secrets",
    values: |ingress, found| {
        let namespace = &ingress.metadata.namespace;
        secrets(ingress).for_each(|secret| found(Key::new(namespace, secret).as_str()));
    },
};

/// Ingresses by the hosts that they say something about.
const HOSTS: Index<IngressView> =
    Index { name: "hosts", values: |ingress, found| hosts(ingress).into_iter().for_each(found) };

/// Tells owners of ingresses what cannot be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checker;

/// What an ingress names.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All classes.
    pub classes: Vec<Arc<IngressClassView>>,
    /// Ingresses that have a host in common with it, and maybe itself.
    pub others: Vec<Arc<IngressView>>,
    /// Its services, by name.
    pub services: HashMap<Box<str>, Arc<ServiceView>>,
    /// Its certificates, by name.
    pub secrets: HashMap<Box<str>, Arc<TlsSecretView>>,
}

impl Operator for Checker {
    const NAME: &'static str = "ingress-controller";
    type Object = IngressView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<IngressView>()
                .index(SERVICES)
                .index(SECRETS)
                .index(HOSTS)
                .also(|change, reader, wake| wake_others(change, reader, wake))
                .into(),
            Watch::mapped::<IngressClassView>(|_, reader, wake| {
                reader.cache::<IngressView>().list().iter().for_each(|ingress| wake(ingress.key()));
            })
            .into(),
            Watch::mapped::<ServiceView>(|change, reader, wake| wake_by(&SERVICES, change, reader, wake))
                .into(),
            WatchOf::<TlsSecretView>::of(TlsSecretView::KIND)
                .only(tls_secrets())
                .also(|change, reader, wake| wake_by(&SECRETS, change, reader, wake))
                .into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        Vec::new()
    }
    async fn observe(&self, reader: &Reader, ingress: &Arc<IngressView>) -> Result<Observed, Error> {
        let key = |name: &str| Key::new(&ingress.metadata.namespace, name);
        let services = reader.cache::<ServiceView>();
        let certificates = reader.cache_of::<TlsSecretView>(&TlsSecretView::KIND, &tls_secrets());
        let services =
            backends(ingress).filter_map(|own| Some((own.name.clone(), services.get(&key(&own.name))?)));
        let secrets = secrets(ingress).filter_map(|own| Some((own.into(), certificates.get(&key(own))?)));
        let ingresses = reader.cache::<IngressView>();
        let others = hosts(ingress).into_iter().flat_map(|host| ingresses.by(&HOSTS, host));
        Ok(Observed {
            classes: reader.cache::<IngressClassView>().list(),
            others: others.collect(),
            services: services.collect(),
            secrets: secrets.collect(),
        })
    }
    fn plan(&self, ingress: &IngressView, observed: &Observed, _now: Timestamp) -> Plan {
        plan(ingress, observed)
    }
}

/// Wakes those that share a host, when more than the status changed.
fn wake_others(change: &Change<IngressView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let said = |ingress: &Option<Arc<IngressView>>| {
        ingress.as_ref().map(|own| (own.metadata.generation, own.metadata.annotations.clone()))
    };
    if said(&change.old) == said(&change.new) {
        return;
    }
    for host in change.both().flat_map(|ingress| hosts(ingress)) {
        let users = reader.cache::<IngressView>().by(&HOSTS, host);
        users.iter().for_each(|ingress| wake(ingress.key()));
    }
}

fn wake_by<V: View>(
    index: &Index<IngressView>,
    change: &Change<V>,
    reader: &Reader,
    wake: &mut dyn FnMut(Key),
) {
    let Some(object) = change.latest() else { return };
    // Endpoints and labels of a service do not matter here, so most changes of one do not either; events of equal text merge.
    let users = reader.cache::<IngressView>().by(index, object.key().as_str());
    users.iter().for_each(|ingress| wake(ingress.key()));
}

/// Warnings about what cannot be done.
pub fn plan(ingress: &IngressView, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if ingress.metadata.is_deleting() || !serves(ingress, observed.classes.iter().map(|class| &**class)) {
        return plan;
    }
    let about = Arc::new(ingress.reference());
    let is_own = |other: &&Arc<IngressView>| serves(other, observed.classes.iter().map(|class| &**class));
    let others = observed.others.iter().filter(is_own).map(|other| &**other);
    for problem in problems(ingress, observed).into_iter().chain(shared::problems(ingress, others)) {
        plan.push(Action::warning(&about, problem.reason, problem.note));
    }
    plan
}

fn problems(ingress: &IngressView, observed: &Observed) -> Vec<Problem> {
    let parsed = parse(&ingress.metadata.annotations);
    let route = Route { target: None, options: Arc::new(parsed.options), canary: None };
    let mut problems = parsed.problems;
    let paths = ingress.spec.rules.iter().flat_map(|rule| &rule.http).flat_map(|http| &http.paths);
    for path in paths.clone() {
        if let Err(error) = Vhost::default().add(&path.path_type, &path.path, route.clone()) {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default();
            let note = format!("path {:?} is not served: no regular expression: {why}", path.path);
            problems.push(Problem { reason: "InvalidPath", note });
        }
    }
    let resources = ingress.spec.default_backend.iter().chain(paths.map(|path| &path.backend));
    if resources.into_iter().any(|backend| backend.service.is_none()) {
        let note = "backends of kind resource are not supported; such paths are answered with 503".to_owned();
        problems.push(Problem { reason: "UnsupportedBackend", note });
    }
    problems.extend(backends(ingress).filter_map(|backend| of_backend(backend, observed)));
    let missing = secrets(ingress).filter_map(|secret| of_secret(secret, observed));
    problems.extend(missing.map(|note| Problem { reason: "CertificateNotUsed", note }));
    let mut seen = BTreeSet::new();
    problems.retain(|problem| seen.insert(problem.note.clone()));
    problems
}

fn of_backend(backend: &BackendService, observed: &Observed) -> Option<Problem> {
    let BackendService { name, port } = backend;
    let problem = |reason, note| Some(Problem { reason, note });
    match observed.services.get(name) {
        None => problem("BackendNotFound", format!("service {name:?} does not exist")),
        Some(service) if is_external(service) => {
            let note = format!(
                "service {name:?} is of type ExternalName, which is not supported; its paths are answered with 503"
            );
            problem("UnsupportedBackend", note)
        }
        Some(service) if port_name(service, port).is_none() => {
            problem("BackendNotFound", format!("service {name:?} has no port {port}"))
        }
        Some(_) => None,
    }
}

fn of_secret(name: &str, observed: &Observed) -> Option<String> {
    match observed.secrets.get(name).map(|secret| certified(secret)) {
        None => Some(format!(
            "there is no secret {name:?} of type kubernetes.io/tls; the default certificate is used"
        )),
        Some(Err(why)) => Some(format!("secret {name:?}: {why}; the default certificate is used")),
        Some(Ok(_)) => None,
    }
}
