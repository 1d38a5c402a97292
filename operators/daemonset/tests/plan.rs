//! Golden cases of the daemon set operator.

use proa_kit::{
    testing::golden::{self, Case},
    views::{ControllerRevisionView, DaemonSetView, NodeView, PodView},
};
use proa_operator_daemonset::{observe::Observed, plan::plan};

fn observed(case: &Case) -> Observed {
    let flag = |part: &str| case.observed.get(part).is_some_and(|value| value == true);
    Observed {
        nodes: case.observed::<Vec<NodeView>>("nodes").into_iter().map(Into::into).collect(),
        pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Into::into).collect(),
        revisions: case
            .observed::<Vec<ControllerRevisionView>>("revisions")
            .into_iter()
            .map(Into::into)
            .collect(),
        may_adopt: flag("mayAdopt"),
        name_taken: flag("nameTaken"),
        ..Observed::default()
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<DaemonSetView>(), &observed(case), case.now)
    });
}
