//! The documents by which others verify service account tokens.
//!
//! Pure. Served at `/.well-known/openid-configuration` and `/openid/v1/jwks`. Upstream:
//! `pkg/serviceaccount/openidmetadata.go`.

use super::key::PublicKey;
use serde_json::{Value, json};

/// Path of the configuration document.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";
/// Path of the key set.
pub const KEYS_PATH: &str = "/openid/v1/jwks";
/// Media type of the key set.
pub const KEYS_MEDIA_TYPE: &str = "application/jwk-set+json";
/// `Cache-Control` of both.
pub const CACHE_CONTROL: &str = "public, max-age=3600";

/// The configuration; `keys_uri` is where the key set is found from outside, such as
/// `https://192.168.0.2:6443/openid/v1/jwks`.
pub fn configuration(issuer: &str, keys_uri: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": keys_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The key set.
pub fn keys(keys: &[PublicKey]) -> Value {
    json!({ "keys": keys.iter().map(PublicKey::jwk).collect::<Vec<_>>() })
}
