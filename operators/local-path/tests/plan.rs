//! Golden cases of the local-path provisioner.

use proa_kit::{
    Change,
    project::Dirty,
    testing::golden::{self, Case},
    views::{PersistentVolumeClaimView, PersistentVolumeView, StorageClassView},
};
use proa_operator_local_path::{LocalPathConfig, index::Index, render};
use std::sync::Arc;

fn came<V>(object: V) -> Change<V> {
    Change { old: None, new: Some(Arc::new(object)) }
}

/// The object is a claim, or a volume if its kind says so.
#[test]
fn changes_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case: &Case| {
        let (mut index, mut dirty) = (Index::new("n1"), Dirty::Keys([].into()));
        for class in case.observed::<Vec<StorageClassView>>("classes") {
            index.class(&came(class), &mut dirty);
        }
        if case.object["kind"] == "PersistentVolume" {
            index.volume(&came(case.object::<PersistentVolumeView>()), &mut dirty);
        } else {
            index.claim(&came(case.object::<PersistentVolumeClaimView>()), &mut dirty);
        }
        render::change(&index, &dirty, &LocalPathConfig { node: "n1".to_owned(), root: "/volumes".into() })
    });
}
