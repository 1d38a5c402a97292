//! Golden cases of statuses: `tests/golden/status`.

use super::*;
use crate::observe::case::Seen;
use proa_kit::testing::golden;

#[test]
fn statuses_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/status", |case| {
        let seen = Seen::of(case);
        let situation = seen.situation(case.now);
        let plan = plan::plan(&situation);
        let old = seen.pod.status.clone().unwrap_or_default();
        let basis = Basis { old: &old, host: IpAddr::from([10, 0, 0, 7]), runtime: "containerd" };
        status(&situation, &plan, basis)
    });
}
