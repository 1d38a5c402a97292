//! Reads what is to be in a volume.
//!
//! Upstream: `SetUpAt` of `pkg/volume/{configmap,secret,projected,downwardapi}`.

use super::{
    Mounted,
    ownership::Ownership,
    payload::{Defaults, File, Payload, Selection},
    trust,
};
use crate::{
    build::{NodeFacts, namespace},
    env::{Surroundings, field, resource},
    sources::{Credentials, Sources},
};
use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, ConfigMapProjection, ConfigMapVolumeSource, DownwardAPIVolumeFile, Pod,
    PodCertificateProjection, ProjectedVolumeSource, SecretProjection, SecretVolumeSource,
    ServiceAccountTokenProjection, Volume, VolumeProjection,
};
use std::net::IpAddr;

/// Life of a token that does not say how long it shall be.
const TOKEN_SECONDS: i64 = 3600;

/// What the parts of a volume are read from.
#[derive(Clone, Copy)]
struct From<'a> {
    pod: &'a Pod,
    sources: &'a Sources,
    pod_ips: &'a [IpAddr],
    facts: &'a NodeFacts,
}

/// The files of a volume.
pub(super) async fn payload(
    pod: &Pod,
    volume: &Volume,
    sources: &Sources,
    pod_ips: &[IpAddr],
    facts: &NodeFacts,
) -> Result<Payload, String> {
    let from = From { pod, sources, pod_ips, facts };
    if let Some(source) = &volume.config_map {
        return from.config_map_volume(source).await;
    }
    if let Some(source) = &volume.secret {
        return from.secret_volume(source).await;
    }
    if let Some(source) = &volume.downward_api {
        let defaults = Defaults { mode: source.default_mode, user: source.default_user };
        return from.fields(source.items.as_deref().unwrap_or_default(), defaults);
    }
    match &volume.projected {
        Some(source) => from.projected(&volume.name, source).await,
        None => Err("this volume has no content".to_owned()),
    }
}

impl From<'_> {
    async fn config_map_volume(self, source: &ConfigMapVolumeSource) -> Result<Payload, String> {
        let selection = Selection {
            name: &source.name,
            items: source.items.as_deref().unwrap_or_default(),
            defaults: Defaults { mode: source.default_mode, user: source.default_user },
            optional: source.optional == Some(true),
        };
        self.config_map(&selection).await
    }

    async fn secret_volume(self, source: &SecretVolumeSource) -> Result<Payload, String> {
        let selection = Selection {
            name: source.secret_name.as_deref().unwrap_or_default(),
            items: source.items.as_deref().unwrap_or_default(),
            defaults: Defaults { mode: source.default_mode, user: source.default_user },
            optional: source.optional == Some(true),
        };
        self.secret(&selection).await
    }

    async fn config_map(self, selection: &Selection<'_>) -> Result<Payload, String> {
        let found = self.sources.config_map(namespace(self.pod), selection.name).await;
        selection.of_config_map(found.map_err(|error| error.to_string())?.as_deref())
    }

    async fn secret(self, selection: &Selection<'_>) -> Result<Payload, String> {
        let found = self.sources.secret(namespace(self.pod), selection.name).await;
        selection.of_secret(found.map_err(|error| error.to_string())?.as_deref())
    }

    fn fields(self, items: &[DownwardAPIVolumeFile], defaults: Defaults) -> Result<Payload, String> {
        let mut files = Payload::new();
        for item in items {
            let text = self.field(item)?;
            files.insert(item.path.clone(), defaults.file(text.into_bytes(), item.mode, item.user));
        }
        Ok(files)
    }

    fn field(self, item: &DownwardAPIVolumeFile) -> Result<String, String> {
        if let Some(selector) = &item.field_ref {
            let volumes = Mounted::default();
            let around = Surroundings { pod_ips: self.pod_ips, facts: self.facts, volumes: &volumes };
            return field::of_pod(self.pod, &selector.field_path, around);
        }
        match &item.resource_field_ref {
            Some(selector) => resource::value(selector, self.pod, None, self.facts),
            None => Ok(String::new()),
        }
    }

    /// All parts together. Every part that fails is told, not the first alone.
    async fn projected(self, volume: &str, source: &ProjectedVolumeSource) -> Result<Payload, String> {
        let defaults = Defaults { mode: source.default_mode, user: source.default_user };
        let mut files = Payload::new();
        let mut failed = Vec::new();
        for (index, part) in source.sources.iter().flatten().enumerate() {
            let made = match &part.pod_certificate {
                Some(source) => self.certificate(source, (volume, index), defaults).await,
                None => self.part(part, defaults).await,
            };
            match made {
                Ok(more) => files.extend(more),
                Err(why) => failed.push(why),
            }
        }
        match failed.len() {
            0 => Ok(files),
            1 => Err(failed.remove(0)),
            _ => Err(format!("[{}]", failed.join(", "))),
        }
    }

    async fn part(self, part: &VolumeProjection, defaults: Defaults) -> Result<Payload, String> {
        if let Some(ConfigMapProjection { items, name, optional }) = &part.config_map {
            let items = items.as_deref().unwrap_or_default();
            return self
                .config_map(&Selection { name, items, defaults, optional: *optional == Some(true) })
                .await;
        }
        if let Some(SecretProjection { items, name, optional }) = &part.secret {
            let items = items.as_deref().unwrap_or_default();
            return self
                .secret(&Selection { name, items, defaults, optional: *optional == Some(true) })
                .await;
        }
        if let Some(source) = &part.downward_api {
            return self.fields(source.items.as_deref().unwrap_or_default(), defaults);
        }
        if let Some(source) = &part.cluster_trust_bundle {
            return self.trust_bundle(source, defaults).await;
        }
        match &part.service_account_token {
            Some(source) => self.token(source, defaults).await,
            None => Err("this node cannot make this part of a projected volume".to_owned()),
        }
    }

    async fn token(
        self,
        source: &ServiceAccountTokenProjection,
        defaults: Defaults,
    ) -> Result<Payload, String> {
        let audience = source.audience.as_deref().unwrap_or_default();
        let seconds = source.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        let token =
            self.sources.token(self.pod, audience, seconds).await.map_err(|error| error.to_string())?;
        Ok(self.private(&source.path, token.into_bytes(), source.user, defaults))
    }

    async fn trust_bundle(
        self,
        source: &ClusterTrustBundleProjection,
        defaults: Defaults,
    ) -> Result<Payload, String> {
        let bundles = self.sources.trust_bundles().await.map_err(|error| error.to_string())?;
        let anchors = trust::anchors(source, &bundles)?;
        Ok(self.private(&source.path, anchors, source.user, defaults))
    }

    async fn certificate(
        self,
        source: &PodCertificateProjection,
        (volume, index): (&str, usize),
        defaults: Defaults,
    ) -> Result<Payload, String> {
        let found = self.sources.credentials(self.pod, volume, index).await;
        let Credentials { key, chain } = found.map_err(|error| error.to_string())?;
        let both = format!("{key}{chain}");
        let mut files = Payload::new();
        for (path, text) in [
            (&source.credential_bundle_path, both),
            (&source.key_path, key),
            (&source.certificate_chain_path, chain),
        ] {
            if let Some(path) = path.as_ref().filter(|path| !path.is_empty()) {
                files.extend(self.private(path, text.into_bytes(), source.user, defaults));
            }
        }
        Ok(files)
    }

    /// A file that is for one user, or for the group that it is given to with the rest of the volume.
    fn private(self, path: &str, data: Vec<u8>, user: Option<i64>, defaults: Defaults) -> Payload {
        let ownership = Ownership::of(self.pod);
        let is_private = ownership.fs_user.is_some() || ownership.fs_group.is_some();
        let mode = is_private.then_some(0o600);
        let File { data, mode, owner } = defaults.file(data, mode, user);
        Payload::from([(path.to_owned(), File { data, mode, owner: owner.or(ownership.fs_user) })])
    }
}
