//! Golden cases of the bootstrap-token operator.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use proa_kit::{Plan, View, testing::golden};
use proa_operator_bootstrap_token::{
    index::{TokenView, Tokens},
    plan::{clean, sign},
};
use std::sync::Arc;

#[test]
fn plans_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden", |case| {
        let mut index = Tokens { info: Some(Arc::new(case.object())), ..Tokens::default() };
        for token in case.observed::<Vec<TokenView>>("tokens") {
            index.tokens.insert(token.key(), Arc::new(token));
        }
        let plans = index.tokens.keys().map(|key| clean(&index, key, case.now));
        let mut whole: Plan = sign(&index, case.now);
        for plan in plans {
            whole.actions.extend(plan.actions);
            whole.requeue_after = whole.requeue_after.or(plan.requeue_after);
        }
        whole
    });
}
