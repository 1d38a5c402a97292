//! Golden cases of the namespace operator.

use proa_kit::{
    Kind, Meta, Typed,
    testing::golden::{self, Case},
    views::PodView,
};
use proa_operator_namespace::{
    observe::{Content, Observed},
    plan::plan,
};

const CONFIG_MAPS: Kind = Kind::namespaced("", "v1", "ConfigMap", "configmaps");

fn observed(case: &Case) -> Observed {
    let parts = [("pods", PodView::KIND), ("configMaps", CONFIG_MAPS)];
    let content = parts.map(|(part, kind)| Content { kind, objects: case.observed::<Vec<Meta>>(part) });
    Observed {
        terminating: case.object["metadata"]["deletionTimestamp"].is_string(),
        content: content.into_iter().filter(|content| !content.objects.is_empty()).collect(),
        undiscovered: case.observed("undiscovered"),
        failures: case.observed("failures"),
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object(), &observed(case), case.now)
    });
}
