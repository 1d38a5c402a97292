//! Golden cases of what is published.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{
    testing::golden::{self, Case},
    views::ServiceView,
};
use proa_operator_metrics::{
    index::{ApiServiceView, Place, Publication, RoleView},
    plan::plan,
};
use std::sync::Arc;

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case: &Case| {
        plan(&Publication {
            place: case
                .observed::<Option<u16>>("port")
                .map(|port| Place { port, authority: "Q0E=".to_owned() }),
            api_service: case.observed::<Option<ApiServiceView>>("apiService").map(Arc::new),
            service: case.observed::<Option<ServiceView>>("service").map(Arc::new),
            role: case.observed::<Option<RoleView>>("role").map(Arc::new),
            authentication: None,
        })
    });
}
