//! ServiceAccount: every pod runs as a service account that exists, and gets its token mounted.
//!
//! Owns: the default account, the projected token volume and its mounts, pull secrets, the rule about mountable
//! secrets, what mirror pods must not use. Upstream: `plugin/pkg/admission/serviceaccount/admission.go`.

use super::{MIRROR_POD, creates_pod, forbidden, items, list_at};
use crate::{
    node::references::{Reference, visit},
    objects,
    tokens::POD_TOKEN_SECONDS,
};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, GroupResource};
use proa_registry::{AdmissionRequest, Mutate, Registry};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

const DEFAULT_ACCOUNT: &str = "default";
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const ENFORCE_MOUNTABLE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";
/// How long a pod waits for the default account of a new namespace, which a controller makes.
const PATIENCE: Duration = Duration::from_secs(2);

/// The plugin.
pub struct ServiceAccount;

/// What is read of a ServiceAccount.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AccountView {
    metadata: AccountMetadata,
    secrets: Vec<Named>,
    image_pull_secrets: Vec<Named>,
    automount_service_account_token: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountMetadata {
    name: String,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

async fn admit(request: &AdmissionRequest<'_>, pod: &mut Value) -> ApiResult<()> {
    if pod["metadata"]["annotations"].get(MIRROR_POD).is_some() {
        return check_mirror(&pod["spec"]).map_err(|why| forbidden(request, why));
    }
    let given = pod["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty());
    let name = given.unwrap_or(DEFAULT_ACCOUNT).to_owned();
    let account = find_account(request.registry, request.namespace, &name).await.map_err(|error| {
        let why = format!("error looking up service account {}/{name}: {error}", request.namespace);
        forbidden(request, &why)
    })?;
    complete(pod, &name, &account, &volume_name());
    if account.enforces_mountable_secrets() {
        check_mountable(&pod["spec"], &account).map_err(|why| forbidden(request, &why))?;
    }
    Ok(())
}

/// The account. The default account of a new namespace is waited for.
async fn find_account(registry: &Registry, namespace: &str, name: &str) -> ApiResult<AccountView> {
    let missing = || ApiError::not_found(&GroupResource::new("", "serviceaccount"), name);
    let kind = objects::kind(registry, &objects::SERVICE_ACCOUNTS)?;
    let mut changed = kind.changed();
    let present = async {
        loop {
            changed.borrow_and_update();
            let found = objects::find(registry, &objects::SERVICE_ACCOUNTS, namespace, name)?;
            if let Some(account) = found {
                return Ok(account);
            }
            if name != DEFAULT_ACCOUNT || changed.changed().await.is_err() {
                return Err(missing());
            }
        }
    };
    tokio::time::timeout(PATIENCE, present).await.unwrap_or_else(|_| Err(missing()))
}

/// Sets account, token volume and pull secrets. Pure.
fn complete(pod: &mut Value, name: &str, account: &AccountView, volume: &str) {
    let spec = &mut pod["spec"];
    spec["serviceAccountName"] = json!(name);
    // The deprecated name of the same field, which clients still read.
    spec["serviceAccount"] = json!(name);
    let automount =
        spec["automountServiceAccountToken"].as_bool().or(account.automount_service_account_token);
    if automount.unwrap_or(true) {
        mount_token(spec, volume);
    }
    let has_secrets = items(&spec["imagePullSecrets"]).next().is_some();
    if !has_secrets && !account.image_pull_secrets.is_empty() {
        let secrets: Vec<_> =
            account.image_pull_secrets.iter().map(|secret| json!({"name": secret.name})).collect();
        spec["imagePullSecrets"] = Value::Array(secrets);
    }
}

fn mount_token(spec: &mut Value, volume: &str) {
    let existing = items(&spec["volumes"])
        .filter_map(|volume| volume["name"].as_str())
        .find(|name| name.starts_with(VOLUME_PREFIX))
        .map(str::to_owned);
    let volume = existing.as_deref().unwrap_or(volume);
    let mount = json!({"name": volume, "readOnly": true, "mountPath": TOKEN_PATH});
    let mut mounted = false;
    for containers in ["initContainers", "containers"] {
        for container in spec[containers].as_array_mut().into_iter().flatten() {
            let taken = items(&container["volumeMounts"]).any(|mount| mount["mountPath"] == TOKEN_PATH);
            if !taken && let Some(mounts) = list_at(container, "volumeMounts") {
                mounts.push(mount.clone());
                mounted = true;
            }
        }
    }
    if mounted
        && existing.is_none()
        && let Some(volumes) = list_at(spec, "volumes")
    {
        volumes.push(json!({"name": volume, "projected": token_volume()}));
    }
}

fn token_volume() -> Value {
    json!({
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": POD_TOKEN_SECONDS}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ],
    })
}

/// The prefix and five characters from the alphabet of generated names.
fn volume_name() -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    VOLUME_PREFIX.chars().chain(random.as_bytes().iter().take(5).map(letter)).collect()
}

impl AccountView {
    fn enforces_mountable_secrets(&self) -> bool {
        let value = self.metadata.annotations.get(ENFORCE_MOUNTABLE_SECRETS).map(String::as_str);
        matches!(value, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
    }
}

/// What a mirror pod must not use.
fn check_mirror(spec: &Value) -> Result<(), &'static str> {
    if spec["serviceAccountName"].as_str().is_some_and(|name| !name.is_empty()) {
        return Err("a mirror pod may not reference service accounts");
    }
    let mut secrets = false;
    visit(spec, "", &mut |reference, _| secrets |= reference == Reference::Secret);
    if secrets {
        return Err("a mirror pod may not reference secrets");
    }
    let token = |source: &Value| source.get("serviceAccountToken").is_some_and(Value::is_object);
    if items(&spec["volumes"]).any(|volume| items(&volume["projected"]["sources"]).any(token)) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections");
    }
    Ok(())
}

/// All secrets of the pod are among those that the account names.
fn check_mountable(spec: &Value, account: &AccountView) -> Result<(), String> {
    let own = &account.metadata.name;
    let refuse = |what: &str, secret: &str| {
        format!(
            "{what} secret.secretName={secret:?} is not allowed because service account {own} does not reference that secret"
        )
    };
    let unknown = |name: &Value| {
        let name = name.as_str()?;
        (!account.secrets.iter().any(|secret| secret.name == name)).then(|| name.to_owned())
    };
    for volume in items(&spec["volumes"]) {
        if let Some(secret) = unknown(&volume["secret"]["secretName"]) {
            return Err(refuse("volume with", &secret));
        }
    }
    for (containers, title) in [("initContainers", "init container"), ("containers", "container")] {
        for container in items(&spec[containers]) {
            let name = container["name"].as_str().unwrap_or_default();
            for variable in items(&container["env"]) {
                if let Some(secret) = unknown(&variable["valueFrom"]["secretKeyRef"]["name"]) {
                    let variable = variable["name"].as_str().unwrap_or_default();
                    return Err(refuse(
                        &format!("{title} {name} with envVar {variable} referencing"),
                        &secret,
                    ));
                }
            }
            for source in items(&container["envFrom"]) {
                if let Some(secret) = unknown(&source["secretRef"]["name"]) {
                    return Err(refuse(&format!("{title} {name} with envFrom referencing"), &secret));
                }
            }
        }
    }
    for (i, secret) in items(&spec["imagePullSecrets"]).enumerate() {
        let name = secret["name"].as_str().unwrap_or_default();
        if !account.image_pull_secrets.iter().any(|secret| secret.name == name) {
            return Err(format!(
                "imagePullSecrets[{i}].name={name:?} is not allowed because service account {own} does not \
                 reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

impl Mutate for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        creates_pod(request)
    }

    fn admit<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        pod: &'a mut Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        admit(request, pod).boxed()
    }
}

#[cfg(test)]
mod tests;
