//! Golden cases of the storage version migrator.

use proa_kit::{
    Kind, Meta,
    testing::golden::{self, Case},
    views::WholeView,
};
use proa_operator_storage_version_migrator::{observe::Observed, plan::plan};

const CRONTABS: Kind = Kind::namespaced("stable.example.com", "v2", "CronTab", "crontabs");

fn observed(case: &Case) -> Observed {
    let definition = || case.observed::<Option<WholeView>>("definition");
    match case.observed::<String>("step").as_str() {
        "ready" => Observed::Ready(definition()),
        "unknown" => Observed::Unknown,
        "version" => Observed::Version(case.observed::<String>("version").into()),
        "content" => Observed::Content { kind: CRONTABS, objects: case.observed::<Vec<Meta>>("objects") },
        "over" => Observed::Over(definition()),
        _ => Observed::Nothing,
    }
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        plan(&case.object(), &observed(case), case.now)
    });
}
