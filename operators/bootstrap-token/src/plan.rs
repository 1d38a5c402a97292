//! The decisions: which signatures the map lacks or has too many of, and which tokens have ended. Pure.

use crate::index::Tokens;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use proa_kit::{Action, Key, Plan, Timestamp, Typed, clock::elapsed};
use ring::hmac;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const SIGNED: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";

/// The plan for the config map. Without a kubeconfig there is nothing to sign.
pub fn sign(tokens: &Tokens, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(info) = &tokens.info else { return plan };
    let Some(content) = info.data.get(SIGNED) else { return plan };
    let signing = tokens.tokens.values().filter_map(|token| token.signs(now));
    let wanted: BTreeMap<String, String> =
        signing.map(|(id, secret)| (format!("{SIGNATURE}{id}"), signature(content, &id, &secret))).collect();
    let mut data = Map::new();
    for (key, _) in info.data.iter().filter(|(key, _)| key.starts_with(SIGNATURE)) {
        if !wanted.contains_key(key) {
            data.insert(key.to_owned(), Value::Null);
        }
    }
    for (key, text) in wanted {
        if info.data.get(&key) != Some(text.as_str()) {
            data.insert(key, json!(text));
        }
    }
    if !data.is_empty() {
        let target = info.reference().at(info.metadata.resource_version);
        plan.push(Action::merge(target, json!({"data": data})));
    }
    plan
}

/// A JSON Web Signature without the content, which stands beside it.
fn signature(content: &str, id: &str, secret: &str) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(json!({"alg": "HS256", "kid": id}).to_string().as_bytes());
    let signed = format!("{header}.{}", encode(content.as_bytes()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), signed.as_bytes());
    format!("{header}..{}", encode(tag.as_ref()))
}

/// The plan for a token: it goes when it ends, unless it changed.
pub fn clean(tokens: &Tokens, key: &Key, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(token) = tokens.tokens.get(key) else { return plan };
    match token.ends() {
        Some(end) if end <= now => {
            plan.push(Action::delete(token.reference().at(token.metadata.resource_version)));
        }
        Some(end) => plan.look_again(elapsed(now, end)),
        None => {}
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The content, token and signature of upstream's own test.
    #[test]
    fn signatures_are_those_that_joining_nodes_expect() {
        let content = "Hello from the other side. I must have called a thousand times.";
        assert_eq!(
            signature(content, "joshua", "my voice is my passcode"),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }
}
