//! The persistent volume operator: binds claims to volumes, and keeps both from going while they are needed.
//!
//! Owns: the two sides of a binding (a volume's `claimRef`, a claim's `volumeName`), the phases of both, the finalizers
//! `kubernetes.io/pvc-protection` and `kubernetes.io/pv-protection`, the claims of ephemeral volumes, the class of claims
//! that were made before there was a default. Five reconcilers share the caches: `claims`, `volumes`, `protection` of
//! each, `ephemeral`. A volume gets its claim before the claim gets its volume, and the first write is pinned to the
//! version it was decided on, so two claims never get one volume.
//! Guarantees: a volume is released only after the API server, not a cache, said that its claim is gone.
//! Deliberately absent: provisioners (others make volumes, `local-path` among them); clearing volumes that no provisioner
//! made: with the policies Delete and Recycle these become `Failed`, with upstream's event.
//! Upstream: pkg/controller/volume/{persistentvolume,pvcprotection,pvprotection,ephemeral}.

pub mod claims;
pub mod ephemeral;
pub mod protection;
pub mod volumes;

use proa_kit::{Client, Operator, RunConfig, Watch, rbac::rbac_rules};
use serde_json::Value;

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    let watches = [
        claims::ClaimOperator.watches(),
        volumes::VolumeOperator.watches(),
        protection::ClaimProtection.watches(),
        protection::VolumeProtection.watches(),
        ephemeral::EphemeralOperator.watches(),
    ];
    let reads = [volumes::VolumeOperator.reads(), protection::ClaimProtection.reads()].concat();
    let writes = [
        claims::ClaimOperator.writes(),
        volumes::VolumeOperator.writes(),
        protection::ClaimProtection.writes(),
        protection::VolumeProtection.writes(),
        ephemeral::EphemeralOperator.writes(),
    ]
    .concat();
    rbac_rules(watches.iter().flatten().map(Watch::watched), &reads, &writes)
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    futures::join!(
        proa_kit::run(claims::ClaimOperator, client.clone(), config.clone()),
        proa_kit::run(volumes::VolumeOperator, client.clone(), config.clone()),
        proa_kit::run(protection::ClaimProtection, client.clone(), config.clone()),
        proa_kit::run(protection::VolumeProtection, client.clone(), config.clone()),
        proa_kit::run(ephemeral::EphemeralOperator, client, config),
    );
}
