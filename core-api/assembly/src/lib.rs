//! The core API put together: a store engine goes in, an [`Api`] comes out.
//!
//! Owns: the order in which registry, store, policy and server are made, the tasks that the core itself runs
//! (definitions, expiry, role aggregation, registration of groups, other API servers), and the bootstrap objects.
//! Deliberately absent: sockets, certificates, operators, the command line. The binary and the test cluster both start
//! here, so a test runs what users run.

use jiff::Timestamp;
use proa_encryption::Encrypted;
pub use proa_encryption::{ConfigError, Encryption};
use proa_meta::{ApiError, Gvr, User, identity};
use proa_policy::{bootstrap, rbac::Rbac, tokens};
use proa_registry::{
    Registry,
    claims::{Source, Space},
    registry::{Config, Plugins},
    webhook::{CallWebhook, LateWebhooks, NoWebhooks},
};
use proa_relay::{RelayConfig, RelayError};
pub use proa_server::{
    Anonymous, Limits, RequestHeaders,
    audit::{AuditLog, LogFile},
};
use proa_server::{Api, ApiConfig, aggregation::Aggregate};
use proa_store::{Engine, Local, OpenError, Options, Store};
use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
};
use tokio::{runtime::Handle, task::JoinHandle};

/// What `/version` says: the API level, and this program's own version behind it.
pub use proa_server::version::GIT_VERSION as VERSION;

mod access;
mod authentication;
mod docs;

pub use access::Access;

/// What a cluster's core has to know.
pub struct Settings {
    /// Network of cluster IPs: address and prefix length.
    pub services: (Ipv4Addr, u8),
    /// Ports of NodePort Services.
    pub node_ports: RangeInclusive<u16>,
    /// Objects that every cluster has, and who may be trusted.
    pub bootstrap: bootstrap::Settings,
    /// Signs service account tokens.
    pub signing_key: Arc<tokens::SigningKey>,
    /// Issuer of service account tokens.
    pub issuer: String,
    /// Operators by name, with the RBAC rules that they need.
    pub operators: Vec<(String, serde_json::Value)>,
    /// How long events are kept, in seconds; none: as upstream.
    pub event_ttl: Option<u64>,
    /// Which values are encrypted at rest.
    pub encryption: Encryption,
    /// How requests are passed on to node agents, pods and services; none: they are not.
    pub relay: Option<RelayConfig>,
}

/// Whose requests are answered, and how they are limited and recorded.
#[derive(Default)]
pub struct Serving {
    /// Bounds of what the server takes on.
    pub limits: Limits,
    /// Where audit events go; none: nothing is audited.
    pub audit: Option<Arc<AuditLog>>,
    /// Who is believed, and who decides what they may do.
    pub access: Access,
}

/// Why a core did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be opened.
    #[error("open the store")]
    Store(#[source] OpenError),
    /// The cluster's own objects cannot be written.
    #[error("write the cluster's own objects")]
    Bootstrap(#[source] ApiError),
    /// The certificates towards node agents cannot be used.
    #[error("prepare connections to node agents")]
    Relay(#[source] RelayError),
}

/// A running core.
pub struct Core {
    /// Answers requests.
    pub api: Api,
    /// What is served and stored.
    pub registry: Arc<Registry>,
    store: Arc<dyn Store>,
    audit: Option<Arc<AuditLog>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Core {
    /// Opens the store, serves what it holds and brings the cluster's own objects into being.
    ///
    /// # Errors
    /// The store is damaged or in use, a bootstrap object cannot be written, or a certificate cannot be used.
    pub async fn start<E: Engine + 'static>(engine: E, settings: Settings) -> Result<Self, StartError> {
        Self::start_serving(engine, settings, Serving::default()).await
    }

    /// The same, with bounds and an audit log.
    ///
    /// # Errors
    /// As above.
    pub async fn start_serving<E: Engine + 'static>(
        engine: E,
        mut settings: Settings,
        serving: Serving,
    ) -> Result<Self, StartError> {
        let runtime = Handle::current();
        let registry = Registry::new(config(&settings), catalogue(settings.event_ttl));
        let engine = Encrypted::new(engine, std::mem::take(&mut settings.encryption));
        let store = Local::open(engine, registry.clone(), Options::default()).map_err(StartError::Store)?;
        let store: Arc<dyn Store> = store;
        registry.attach(store.clone());
        registry.establish();
        let rbac = Rbac::new(registry.clone());
        let access = serving.access;
        let late = Arc::new(LateWebhooks::default());
        let others: Arc<dyn CallWebhook> = late.clone();
        let (tokens, verifier) = authentication::tokens(&registry, &settings, &access, &others);
        let authorizer = match access.authorizers {
            None => proa_policy::authorizers::standard(&registry, rbac.clone()),
            Some(modes) => proa_policy::authorizers::configured(modes, &registry, &rbac, &others),
        };
        let outside = settings.relay.take();
        let outside = outside.map(|relay| proa_relay::outside(registry.clone(), authorizer.clone(), relay));
        let outside = outside.transpose().map_err(StartError::Relay)?;
        let webhooks: Arc<dyn CallWebhook> = match &outside {
            Some(outside) => outside.webhooks.clone(),
            None => Arc::new(NoWebhooks),
        };
        late.set(webhooks.clone());
        registry.install(Plugins {
            mutators: proa_policy::admission::mutators(&authorizer, &webhooks),
            validators: proa_policy::admission::validators(&rbac, &authorizer, &webhooks),
            charges: proa_policy::admission::charges(),
            webhooks: Some(webhooks),
            actions: proa_policy::actions::actions(
                authorizer.clone(),
                tokens.clone(),
                &verifier,
                settings.signing_key.clone(),
            ),
        });
        let operators =
            settings.operators.iter().flat_map(|(name, rules)| bootstrap::operator(name, rules.clone()));
        let (address, bits) = settings.services;
        bootstrap::service_cidr(&registry, &format!("{address}/{bits}"))
            .await
            .map_err(StartError::Bootstrap)?;
        bootstrap::run(&registry, &settings.bootstrap, &access.front_proxies, operators.collect())
            .await
            .map_err(StartError::Bootstrap)?;
        let mut tasks = vec![
            runtime.spawn(registry.clone().run_definitions()),
            runtime.spawn(registry.clone().run_expiry()),
            runtime.spawn(proa_policy::aggregation::run(registry.clone())),
            runtime.spawn(proa_policy::type_checking::run(registry.clone())),
            runtime.spawn(proa_policy::flow_status::run(registry.clone())),
            runtime.spawn(proa_policy::service_network::run(registry.clone())),
            runtime.spawn(proa_policy::registration::run(registry.clone())),
        ];
        for issuer in access.issuers {
            tasks.push(runtime.spawn(issuer.run(others.clone())));
        }
        let aggregator = outside.as_ref().map(|outside| outside.aggregator.clone());
        if let Some(aggregator) = &aggregator {
            // Before the first request: groups of others are known from the start.
            aggregator.load();
            tasks.push(runtime.spawn(aggregator.clone().run()));
        }
        let mut config = ApiConfig::new(registry.clone(), authorizer, runtime);
        config.aggregation = aggregator.map(|aggregator| aggregator as Arc<dyn Aggregate>);
        config.connectors = outside.map(|outside| outside.connectors).unwrap_or_default();
        config.authenticators = authentication::authenticators(access.request_headers.as_ref(), tokens);
        config.request_headers = access.request_headers;
        config.anonymous = access.anonymous;
        config.docs = Arc::new(docs::Catalogue);
        config.limits = serving.limits;
        config.audit = serving.audit.clone();
        config.public_address =
            SocketAddr::new(settings.bootstrap.advertise, settings.bootstrap.port).to_string();
        config.documents = authentication::documents(&settings, &config.public_address);
        let api = Api::new(config);
        api.load_priorities();
        tasks.push(Handle::current().spawn(api.clone().follow_priorities()));
        Ok(Self { api, registry, store, audit: serving.audit, tasks })
    }

    /// A client that acts as `user`.
    pub fn client(&self, user: User) -> kube::Client {
        proa_local::client(&self.api, user)
    }

    /// A client that may do everything.
    pub fn admin(&self) -> kube::Client {
        self.client(User::new("kubernetes-admin", &[identity::MASTERS, identity::AUTHENTICATED]))
    }

    /// A client with the identity of one of Proa's operators.
    pub fn operator(&self, name: &str) -> kube::Client {
        self.client(User::new(bootstrap::operator_name(name), &[identity::AUTHENTICATED]))
    }

    /// A client with the identity of a node's agent.
    pub fn node(&self, name: &str) -> kube::Client {
        self.client(User::new(format!("system:node:{name}"), &["system:nodes", identity::AUTHENTICATED]))
    }

    /// Ends the core's tasks and closes the store: what was acknowledged is on disk.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        self.store.close().await;
        if let Some(audit) = &self.audit {
            audit.end().await;
        }
    }
}

fn config(settings: &Settings) -> Config {
    let ports = Source::Fixed(Space::Ports(settings.node_ports.clone()));
    Config {
        object_meta: proa_crds::facts::schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        spaces: [("clusterIP", proa_crds::service_addresses()), ("nodePort", ports)].into(),
        now: Timestamp::now,
    }
}

fn catalogue(event_ttl: Option<u64>) -> Vec<proa_registry::KindDef> {
    const EVENTS: [Gvr; 2] = [Gvr::new("", "v1", "events"), Gvr::new("events.k8s.io", "v1", "events")];
    let mut kinds = proa_crds::catalogue();
    for kind in kinds.iter_mut().filter(|k| EVENTS.contains(&k.gvr())) {
        kind.ttl_seconds = event_ttl.or(kind.ttl_seconds);
    }
    kinds
}
