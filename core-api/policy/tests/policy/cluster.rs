//! A cluster without sockets and operators.

use jiff::Timestamp;
use proa_meta::{ApiResult, Gvr, User, identity::MASTERS};
use proa_policy::{
    actions, admission, authorizers,
    bootstrap::{self, FrontProxies, Settings},
    objects,
    rbac::Rbac,
    tokens::{DEFAULT_ISSUER, SigningKey, TokenVerifier, Tokens, bootstrap::BootstrapTokens},
};
use proa_registry::{
    Attributes, Authorizer, Decision, Registry,
    claims::{Source, Space},
    registry::{Config, Plugins},
    request::{Body, DeleteOptions, Object, Target, WriteOptions},
    webhook::{CallWebhook, NoWebhooks},
};
use proa_store::{Local, Memory, Options};
use serde_json::{Value, json};
use std::sync::Arc;

/// A bootstrapped cluster.
pub(crate) struct Cluster {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) verifier: Arc<TokenVerifier>,
}

fn config() -> Config {
    let ports = Source::Fixed(Space::Ports(30_000..=32_767));
    Config {
        object_meta: proa_crds::facts::schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
        spaces: [("clusterIP", proa_crds::service_addresses()), ("nodePort", ports)].into(),
        now: Timestamp::now,
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        service_ip: [10, 96, 0, 1].into(),
        advertise: [192, 168, 0, 2].into(),
        port: 6443,
        client_ca: "client".to_owned(),
        front_proxy_ca: "proxy".to_owned(),
    }
}

impl Cluster {
    /// A new cluster with its bootstrap objects and the default service account.
    pub(crate) async fn start() -> Self {
        let registry = Registry::new(config(), proa_crds::catalogue());
        let store = Local::open(Memory::new(), registry.clone(), Options::default()).unwrap();
        registry.attach(store);
        let key = Arc::new(SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap());
        let issuers = vec![DEFAULT_ISSUER.to_owned()];
        let keys = vec![key.public().clone()];
        let verifier = TokenVerifier::new(registry.clone(), issuers.clone(), issuers.clone(), keys);
        let bootstrap_tokens = Arc::new(BootstrapTokens::new(registry.clone(), issuers.clone()));
        let tokens = Tokens::new(vec![verifier.clone(), bootstrap_tokens], issuers);
        let rbac = Rbac::new(registry.clone());
        let authorizer = authorizers::standard(&registry, rbac.clone());
        let webhooks: Arc<dyn CallWebhook> = Arc::new(NoWebhooks);
        registry.install(Plugins {
            mutators: admission::mutators(&authorizer, &webhooks),
            validators: admission::validators(&rbac, &authorizer, &webhooks),
            charges: admission::charges(),
            webhooks: Some(webhooks),
            actions: actions::actions(authorizer.clone(), tokens, &verifier, key),
        });
        bootstrap::service_cidr(&registry, "10.96.0.0/12").await.unwrap();
        bootstrap::run(&registry, &settings(), &FrontProxies::default(), Vec::new()).await.unwrap();
        let cluster = Self { registry, authorizer, verifier };
        let account = json!({"metadata": {"name": "default"}});
        cluster.create(&objects::SERVICE_ACCOUNTS, "default", account).await.unwrap();
        cluster
    }

    pub(crate) fn target(&self, gvr: &Gvr, namespace: &str, name: &str, user: &User) -> Target {
        Target {
            kind: self.registry.kind(gvr).unwrap_or_else(|| panic!("{gvr} is not served")),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
            user: Arc::new(user.clone()),
        }
    }

    /// Creates as the administrator.
    pub(crate) async fn create(&self, gvr: &Gvr, namespace: &str, object: Value) -> ApiResult<Value> {
        self.create_as(&admin(), gvr, namespace, object).await
    }

    pub(crate) async fn create_as(
        &self,
        user: &User,
        gvr: &Gvr,
        namespace: &str,
        value: Value,
    ) -> ApiResult<Value> {
        let target = self.target(gvr, namespace, "", user);
        self.call(&target, value, "create").await
    }

    /// Calls a subresource as `user`.
    pub(crate) async fn post(&self, target: &Target, subresource: &str, value: Value) -> ApiResult<Value> {
        let target = Target { subresource: subresource.to_owned(), ..target.clone() };
        self.call(&target, value, "create").await
    }

    pub(crate) async fn update(&self, target: &Target, value: Value) -> ApiResult<Value> {
        self.call(target, value, "update").await
    }

    async fn call(&self, target: &Target, value: Value, verb: &str) -> ApiResult<Value> {
        let body = Body { value, issues: Vec::new() };
        let options = WriteOptions { field_manager: "test".to_owned(), ..WriteOptions::default() };
        let written = match verb {
            "create" => self.registry.create(target, body, &options).await?,
            _ => self.registry.update(target, body, &options).await?,
        };
        Ok(match &written.object {
            Object::Stored(entry) => entry.value(&target.kind.def),
            Object::Made(value) => (**value).clone(),
        })
    }

    /// Deletes at once, as the administrator.
    pub(crate) async fn delete(&self, gvr: &Gvr, namespace: &str, name: &str) -> ApiResult<()> {
        let options = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
        self.registry.delete(&self.target(gvr, namespace, name, &admin()), &options).await.map(drop)
    }

    pub(crate) fn get(&self, gvr: &Gvr, namespace: &str, name: &str) -> Option<Value> {
        let kind = self.registry.kind(gvr)?;
        kind.get(namespace, name).map(|entry| entry.value(&kind.def))
    }

    /// Whether the user may do `VERB RESOURCE[.GROUP][/SUBRESOURCE][?FIELDSELECTOR]` in a namespace.
    pub(crate) async fn may(&self, user: &User, what: &str, namespace: &str, name: &str) -> bool {
        let (what, fields) = what.split_once('?').unwrap_or((what, ""));
        let (verb, resource) = what.split_once(' ').unwrap();
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let attributes = Attributes {
            user: Arc::new(user.clone()),
            verb: verb.to_owned(),
            group: group.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        }
        .selecting(fields, "");
        matches!(self.authorizer.authorize(&attributes).await, Decision::Allow(_))
    }

    /// Binds a ClusterRole to a user, cluster-wide or in a namespace.
    pub(crate) async fn bind(&self, user: &str, role: &str, namespace: &str) {
        let gvr = if namespace.is_empty() { objects::CLUSTER_ROLE_BINDINGS } else { objects::ROLE_BINDINGS };
        self.create(&gvr, namespace, binding(&format!("{user}-{role}"), role, user)).await.unwrap();
    }
}

pub(crate) fn admin() -> User {
    User::new("admin", &[MASTERS])
}

pub(crate) fn user(name: &str) -> User {
    User::new(name, &["system:authenticated"])
}

pub(crate) fn binding(name: &str, role: &str, user: &str) -> Value {
    let group = "rbac.authorization.k8s.io";
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    })
}

pub(crate) fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}},
           "spec": {"containers": [{"name": "web", "image": "web"}]}})
}
