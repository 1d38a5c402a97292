//! ES256 keys and JSON web signatures, on ring.
//!
//! Owns: making a key, signing, verifying, the public key as JWK. The key id is derived from the public key as
//! upstream does, so a cluster's keys and tokens can move either way. Upstream: `pkg/serviceaccount/jwt.go`.

use super::{Claims, TokenError};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt;

/// DER of a P-256 SubjectPublicKeyInfo before the point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point: a tag and two coordinates.
const POINT_BYTES: usize = 65;
/// Larger tokens are not looked at.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Why there is no usable key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a P-256 private key in PKCS#8.
    #[error("the service account key is not a P-256 key in PKCS#8 form: {0}")]
    Rejected(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// The key that signs service account tokens.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
    random: SystemRandom,
}

/// A key that tokens are verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: Box<[u8]>,
    id: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl SigningKey {
    /// A new private key as PKCS#8 DER, to be kept by the caller.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Vec<u8>, KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        pkcs8.map(|document| document.as_ref().to_vec()).map_err(|_| KeyError::Random)
    }

    /// A key from PKCS#8 DER.
    ///
    /// # Errors
    /// It is not a P-256 private key.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)
            .map_err(|error| KeyError::Rejected(error.to_string()))?;
        let public = PublicKey::from_point(pair.public_key().as_ref());
        Ok(Self { pair, public, random })
    }

    /// What verifies this key's tokens.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signed token.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let header = json!({"alg": "ES256", "kid": self.public.id});
        let mut token = encode(&header);
        token.push('.');
        token.push_str(&encode(claims));
        let signature = self.pair.sign(&self.random, token.as_bytes()).map_err(|_| KeyError::Random)?;
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PublicKey {
    /// From an uncompressed point.
    fn from_point(point: &[u8]) -> Self {
        let info = [&SPKI_PREFIX, point].concat();
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &info));
        Self { point: point.into(), id }
    }

    /// From the DER of a SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// It is not a P-256 public key.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        match der.strip_prefix(&SPKI_PREFIX) {
            Some(point) if point.len() == POINT_BYTES => Ok(Self::from_point(point)),
            _ => Err(KeyError::Rejected("not a P-256 public key".to_owned())),
        }
    }

    /// Key id, as token headers name it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// JSON web key.
    pub fn jwk(&self) -> Value {
        let (x, y) = self.point[1..].split_at((POINT_BYTES - 1) / 2);
        json!({
            "use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }

    fn verifies(&self, message: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point)
            .verify(message.as_bytes(), signature)
            .is_ok()
    }
}

/// The claims of a token that one of `issuers` issued and one of `keys` signed. Times and audience are not looked at.
///
/// # Errors
/// Not a token of ours, or a wrong signature.
pub fn open(token: &str, issuers: &[String], keys: &[PublicKey]) -> Result<Claims, TokenError> {
    #[derive(Deserialize)]
    struct Issuer {
        #[serde(default)]
        iss: String,
    }
    let (message, header, payload, signature) = parts(token).ok_or(TokenError::Foreign)?;
    let issuer: Issuer = decode(payload).ok_or(TokenError::Foreign)?;
    if !issuers.contains(&issuer.iss) {
        return Err(TokenError::Foreign);
    }
    let invalid = || TokenError::Invalid("invalid bearer token".to_owned());
    let header: Header = decode(header).ok_or_else(invalid)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| invalid())?;
    let mut fitting = keys.iter().filter(|key| header.kid.is_empty() || header.kid == key.id);
    if header.alg != "ES256" || !fitting.any(|key| key.verifies(message, &signature)) {
        return Err(invalid());
    }
    decode(payload).ok_or_else(invalid)
}

/// Signed part, header, payload, signature.
pub(crate) fn parts(token: &str) -> Option<(&str, &str, &str, &str)> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let (header, payload) = message.split_once('.')?;
    (!payload.contains('.')).then_some((message, header, payload, signature))
}

fn encode<T: serde::Serialize>(value: &T) -> String {
    // Claims and headers have string keys only, so writing them cannot fail.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).unwrap_or_default())
}

fn decode<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}
