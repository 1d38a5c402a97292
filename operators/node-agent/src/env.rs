//! The environment of a container.
//!
//! Owns: in which order variables are found and which wins. `envFrom` comes first, then `env` in the order written, each
//! replacing what was there; then variables about services, which replace nothing. Invariants: what is missing is an
//! error unless it is optional; [`resolve`] reads through `sources` first, and the rest is pure.
//! Deliberately absent: a check of names: since 1.34 any printable ASCII but `=` is one, and the server checks `env`;
//! keys of `envFrom` are taken as they are. Values that are no UTF-8 are refused: the runtime could not be told them.
//! Upstream: `pkg/kubelet/kubelet_pods.go` (`makeEnvironmentVariables`), `pkg/kubelet/envvars`.

pub(crate) mod expand;
pub(crate) mod field;
mod file;
pub(crate) mod resource;
mod service;

use crate::{
    build::{NodeFacts, Refused, namespace},
    sources::{SourceError, Sources},
    volumes::Mounted,
};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapKeySelector, Container, EnvVar, EnvVarSource, FileKeySelector, Pod, Secret,
    SecretKeySelector, Service,
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// What is known of a pod's surroundings when its environment is made.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// Addresses of the pod.
    pub(crate) pod_ips: &'a [IpAddr],
    /// The node.
    pub(crate) facts: &'a NodeFacts,
    /// The pod's volumes, for variables that are kept in files.
    pub(crate) volumes: &'a Mounted,
}

/// The environment of a container, in order.
pub(crate) async fn resolve(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    around: Surroundings<'_>,
) -> Result<Vec<(String, String)>, Refused> {
    let read = Read::of(pod, container, sources).await?;
    let mut found = Found { services: service::variables(&read.services), ..Found::default() };
    add_all(&mut found, pod, container, &read)?;
    for variable in container.env.iter().flatten() {
        if let Some(value) = value(pod, container, variable, &read, &found, around)? {
            found.set(&variable.name, value);
        }
    }
    Ok(found.into_list())
}

/// Variables so far.
#[derive(Default)]
struct Found {
    order: Vec<String>,
    values: HashMap<String, String>,
    services: BTreeMap<String, String>,
}

impl Found {
    fn set(&mut self, name: &str, value: String) {
        if self.values.insert(name.to_owned(), value).is_none() {
            self.order.push(name.to_owned());
        }
    }
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).or_else(|| self.services.get(name)).map(String::as_str)
    }
    fn into_list(self) -> Vec<(String, String)> {
        let Self { order, mut values, services } = self;
        let own: Vec<_> = order.into_iter().filter_map(|name| values.remove_entry(&name)).collect();
        let more = services.into_iter().filter(|(name, _)| own.iter().all(|(taken, _)| taken != name));
        own.iter().cloned().chain(more).collect()
    }
}

type Looked<T> = Result<Option<Arc<T>>, SourceError>;

/// Everything that the container refers to, read once.
#[derive(Default)]
struct Read {
    config_maps: HashMap<String, Looked<ConfigMap>>,
    secrets: HashMap<String, Looked<Secret>>,
    services: Vec<Arc<Service>>,
}

impl Read {
    async fn of(pod: &Pod, container: &Container, sources: &Sources) -> Result<Self, Refused> {
        let mut read = Self::default();
        let namespace = namespace(pod);
        for name in config_map_names(container) {
            read.config_maps.insert(name.to_owned(), sources.config_map(namespace, name).await);
        }
        for name in secret_names(container) {
            read.secrets.insert(name.to_owned(), sources.secret(namespace, name).await);
        }
        let links = pod.spec.as_ref().is_none_or(|spec| spec.enable_service_links != Some(false));
        let services = sources.services(namespace, links).await;
        read.services = services.map_err(|error| Refused::config(error.to_string()))?;
        Ok(read)
    }
    /// A ConfigMap; none when it may be missing and is.
    fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<&ConfigMap>, Refused> {
        look(&self.config_maps, "configmap", name, optional)
    }
    /// A Secret; none when it may be missing and is.
    fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<&Secret>, Refused> {
        look(&self.secrets, "secret", name, optional)
    }
}

fn look<'a, T>(
    all: &'a HashMap<String, Looked<T>>,
    kind: &str,
    name: &str,
    optional: Option<bool>,
) -> Result<Option<&'a T>, Refused> {
    match all.get(name) {
        Some(Ok(Some(object))) => Ok(Some(object)),
        Some(Err(error)) => Err(Refused::config(error.to_string())),
        Some(Ok(None)) | None if optional == Some(true) => Ok(None),
        Some(Ok(None)) | None => Err(Refused::config(format!("{kind} {name:?} not found"))),
    }
}

fn config_map_names(container: &Container) -> impl Iterator<Item = &str> {
    let whole = container.env_from.iter().flatten().filter_map(|from| from.config_map_ref.as_ref());
    let keys = value_sources(container).filter_map(|from| from.config_map_key_ref.as_ref());
    whole.map(|from| from.name.as_str()).chain(keys.map(|key| key.name.as_str()))
}

fn secret_names(container: &Container) -> impl Iterator<Item = &str> {
    let whole = container.env_from.iter().flatten().filter_map(|from| from.secret_ref.as_ref());
    let keys = value_sources(container).filter_map(|from| from.secret_key_ref.as_ref());
    whole.map(|from| from.name.as_str()).chain(keys.map(|key| key.name.as_str()))
}

fn value_sources(container: &Container) -> impl Iterator<Item = &EnvVarSource> {
    container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref())
}

fn add_all(found: &mut Found, pod: &Pod, container: &Container, read: &Read) -> Result<(), Refused> {
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        if let Some(source) = &from.config_map_ref {
            let map = read.config_map(&source.name, source.optional)?;
            for (key, value) in map.iter().filter_map(|map| map.data.as_ref()).flatten() {
                found.set(&format!("{prefix}{key}"), value.clone());
            }
        } else if let Some(source) = &from.secret_ref {
            let secret = read.secret(&source.name, source.optional)?;
            for (key, value) in secret.iter().filter_map(|secret| secret.data.as_ref()).flatten() {
                found.set(&format!("{prefix}{key}"), text_of(&value.0, key, pod, &source.name)?);
            }
        }
    }
    Ok(())
}

/// The value of a variable; none when it is optional and missing.
fn value(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    read: &Read,
    found: &Found,
    around: Surroundings<'_>,
) -> Result<Option<String>, Refused> {
    let plain = variable.value.as_deref().unwrap_or_default();
    let Some(from) = variable.value_from.as_ref().filter(|_| plain.is_empty()) else {
        return Ok(Some(expand::expand(plain, |name| found.get(name))));
    };
    if let Some(selector) = &from.field_ref {
        return field::of_pod(pod, &selector.field_path, around).map(Some).map_err(Refused::config);
    }
    if let Some(selector) = &from.resource_field_ref {
        return resource::value(selector, pod, Some(container), around.facts)
            .map(Some)
            .map_err(Refused::config);
    }
    if let Some(key) = &from.config_map_key_ref {
        return config_map_key(pod, key, read);
    }
    if let Some(key) = &from.secret_key_ref {
        return secret_key(pod, key, read);
    }
    match &from.file_key_ref {
        Some(key) => file_key(key, around.volumes),
        None => Ok(Some(String::new())),
    }
}

fn config_map_key(
    pod: &Pod,
    selector: &ConfigMapKeySelector,
    read: &Read,
) -> Result<Option<String>, Refused> {
    let ConfigMapKeySelector { key, name, optional } = selector;
    let Some(map) = read.config_map(name, *optional)? else { return Ok(None) };
    match map.data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => Ok(Some(value.clone())),
        None if *optional == Some(true) => Ok(None),
        None => {
            Err(Refused::config(format!("couldn't find key {key} in ConfigMap {}/{name}", namespace(pod))))
        }
    }
}

fn secret_key(pod: &Pod, selector: &SecretKeySelector, read: &Read) -> Result<Option<String>, Refused> {
    let SecretKeySelector { key, name, optional } = selector;
    let Some(secret) = read.secret(name, *optional)? else { return Ok(None) };
    match secret.data.as_ref().and_then(|data| data.get(key)) {
        Some(value) => text_of(&value.0, key, pod, name).map(Some),
        None if *optional == Some(true) => Ok(None),
        None => Err(Refused::config(format!("couldn't find key {key} in Secret {}/{name}", namespace(pod)))),
    }
}

fn text_of(value: &[u8], key: &str, pod: &Pod, secret: &str) -> Result<String, Refused> {
    let no_text =
        || Refused::config(format!("key {key} in Secret {}/{secret} is not valid UTF-8", namespace(pod)));
    std::str::from_utf8(value).map(str::to_owned).map_err(|_| no_text())
}

fn file_key(selector: &FileKeySelector, volumes: &Mounted) -> Result<Option<String>, Refused> {
    let FileKeySelector { key, optional, path, volume_name } = selector;
    let Some(volume) = volumes.paths.get(volume_name) else {
        return Err(Refused::config(format!(
            "cannot find the volume {volume_name:?} referenced by FileKeyRef"
        )));
    };
    // Why exactly is not told: the message would show the node's files to the pod's owner.
    let value = file::read(volume, path, key).map_err(|_| Refused::config("couldn't parse env file"))?;
    match value {
        Some(value) if !value.is_empty() => Ok(Some(value)),
        _ if *optional == Some(true) => Ok(None),
        _ => Err(Refused::config(format!("environment variable key {key:?} not found in file {path:?}"))),
    }
}

#[cfg(test)]
mod tests;
