//! Golden cases of plans: `tests/golden/plan`.

use super::*;
use crate::observe::case::Seen;
use proa_kit::testing::golden;

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/plan", |case| {
        let seen = Seen::of(case);
        plan(&seen.situation(case.now))
    });
}
