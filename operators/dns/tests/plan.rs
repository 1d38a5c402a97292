//! Golden cases of what a node publishes about its DNS.

use proa_kit::testing::golden::{self, Case};
use proa_operator_dns::{
    rules,
    status::{Announcer, Observed, plan},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

fn some<V: DeserializeOwned + Default>(case: &Case, part: &str) -> Option<Arc<V>> {
    case.observed.get(part).map(|_| Arc::new(case.observed(part)))
}

#[test]
fn plans_match_the_golden_cases() {
    let announcer = Announcer {
        node: "n1".to_owned(),
        service_ip: [10, 96, 0, 10].into(),
        address: Some(([10, 244, 0, 1], 53).into()),
    };
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/plans", |case| {
        let observed =
            Observed { service: some(case, "service"), slice: some(case, "slice"), node: some(case, "node") };
        plan(&announcer, &case.object(), &observed)
    });
}

#[test]
fn rules_name_what_is_watched_and_written() {
    let rules = rules().to_string();
    for rule in [
        r#""resources":["services"],"verbs":["create","get","list","watch"]"#,
        r#""resourceNames":["kube-dns"],"resources":["services"],"verbs":["patch"]"#,
        r#""resources":["endpointslices"],"verbs":["create","delete","get","list","patch","watch"]"#,
        r#""resources":["nodes"],"verbs":["get","list","watch"]"#,
    ] {
        assert!(rules.contains(rule), "{rules}");
    }
}
