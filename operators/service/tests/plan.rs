//! Golden cases of the service operator.

use proa_kit::{
    testing::golden::{self, Case},
    views::{EndpointSliceView, PodView, ServiceView},
};
use proa_operator_service::{
    observe::{EndpointsView, Observed},
    plan::{
        mirror::{self, Mirrored},
        plan,
    },
};

fn observed(case: &Case) -> Observed {
    Observed {
        pods: case.observed::<Vec<PodView>>("pods").into_iter().map(Into::into).collect(),
        zones: case.observed("zones"),
        slices: case.observed::<Vec<EndpointSliceView>>("slices").into_iter().map(Into::into).collect(),
        endpoints: case.observed.get("endpoints").map(|_| case.observed::<EndpointsView>("endpoints").into()),
    }
}

#[test]
fn mirrors_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/mirror", |case| {
        let observed = Mirrored {
            service: case.observed.get("service").map(|_| case.observed::<ServiceView>("service").into()),
            slices: case.observed::<Vec<EndpointSliceView>>("slices").into_iter().map(Into::into).collect(),
        };
        mirror::plan(&case.object(), &observed)
    });
}

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| plan(&case.object(), &observed(case)));
}
