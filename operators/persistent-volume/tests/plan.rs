//! Golden cases of claims, volumes, protection and ephemeral volumes, by the kind of the object.

use proa_kit::{
    testing::golden::{self, Case},
    views::{PersistentVolumeClaimView, PersistentVolumeView, PodView, StorageClassView},
};
use proa_operator_persistent_volume::{
    observe,
    plan::{claim, ephemeral, protection, volume},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

fn all<V: DeserializeOwned>(case: &Case, part: &str) -> Vec<Arc<V>> {
    case.observed::<Vec<V>>(part).into_iter().map(Arc::new).collect()
}

fn one<V: DeserializeOwned>(case: &Case, part: &str) -> Option<Arc<V>> {
    case.observed::<Option<V>>(part).map(Arc::new)
}

#[test]
fn bindings_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/claims", |case| {
        let observed = observe::claim::Observed {
            class: one::<StorageClassView>(case, "class"),
            default_class: case.observed::<Option<Box<str>>>("defaultClass"),
            volume: one::<PersistentVolumeView>(case, "volume"),
            candidates: all::<PersistentVolumeView>(case, "candidates"),
            waiting: case.observed("waiting"),
        };
        claim::plan(&case.object::<PersistentVolumeClaimView>(), &observed, case.now)
    });
}

#[test]
fn phases_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/volumes", |case| {
        let observed = observe::volume::Observed { claim: one::<PersistentVolumeClaimView>(case, "claim") };
        volume::plan(&case.object::<PersistentVolumeView>(), &observed, case.now)
    });
}

#[test]
fn protection_matches_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/protection", |case| {
        if case.object["kind"] == "PersistentVolume" {
            return protection::volume(&case.object::<PersistentVolumeView>());
        }
        let users = all::<PodView>(case, "pods");
        protection::claim(&case.object::<PersistentVolumeClaimView>(), &users, case.now)
    });
}

#[test]
fn ephemeral_volumes_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/ephemeral", |case| {
        ephemeral::plan(&case.object::<PodView>(), &all::<PersistentVolumeClaimView>(case, "claims"))
    });
}
