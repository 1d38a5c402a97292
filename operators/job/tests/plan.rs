//! Golden cases of the job operator.

use proa_kit::{
    testing::golden::{self, Case},
    views::{JobView, PodView},
};
use proa_operator_job::{observe::Observed, plan::plan};

fn observed(case: &Case) -> Observed {
    let pods = |part: &str| case.observed::<Vec<PodView>>(part).into_iter().map(Into::into).collect();
    let may_adopt = case.observed.get("mayAdopt").is_some_and(|value| value == true);
    Observed { pods: pods("pods"), strays: pods("strays"), may_adopt }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object::<JobView>(), &observed(case), case.now)
    });
}
