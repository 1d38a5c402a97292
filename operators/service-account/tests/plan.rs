//! Golden cases of the service account operator.

use proa_kit::testing::golden;
use proa_operator_service_account::{
    observe::{BundleView, Observed},
    plan::plan,
    rules,
};

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        let observed = Observed {
            has_account: case.observed("hasAccount"),
            bundle: case.observed.get("bundle").map(|_| case.observed::<BundleView>("bundle").into()),
            authority: case.observed("authority"),
        };
        plan(&case.object(), &observed)
    });
}

#[test]
fn rules_name_what_is_written() {
    let rules = rules().to_string();
    assert!(
        rules.contains(r#""resources":["serviceaccounts"],"verbs":["create","get","list","watch"]"#),
        "{rules}"
    );
}
