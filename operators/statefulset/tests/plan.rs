//! Golden cases of the stateful set operator.

use proa_kit::{
    testing::golden::{self, Case},
    views::{ControllerRevisionView, PersistentVolumeClaimView, PodView, StatefulSetView},
};
use proa_operator_statefulset::{observe::Observed, plan::plan};

fn observed(case: &Case) -> Observed {
    let flag = |part: &str| case.observed.get(part).is_some_and(|value| value == true);
    let revisions = case.observed::<Vec<ControllerRevisionView>>("revisions");
    Observed {
        pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Into::into).collect(),
        claims: case
            .observed::<Vec<PersistentVolumeClaimView>>("claims")
            .into_iter()
            .map(Into::into)
            .collect(),
        revisions: revisions.into_iter().map(Into::into).collect(),
        may_adopt: flag("mayAdopt"),
        name_taken: flag("nameTaken"),
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<StatefulSetView>(), &observed(case), case.now)
    });
}
