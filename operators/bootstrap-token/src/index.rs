//! The tokens and what they sign.

use base64::{Engine, prelude::BASE64_STANDARD};
use proa_kit::{Change, Key, Kind, Meta, Pairs, Timestamp, View, queue::Queue, view, views::null_as_default};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A token: a secret of type `bootstrap.kubernetes.io/token`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenView {
    /// Metadata.
    pub metadata: Meta,
    /// Its parts, as base64.
    #[serde(deserialize_with = "null_as_default")]
    data: BTreeMap<Box<str>, Box<str>>,
}

view!(TokenView, Kind::namespaced("", "v1", "Secret", "secrets"));

/// The config map.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InfoView {
    /// Metadata.
    pub metadata: Meta,
    /// Its texts.
    pub data: Pairs,
}

view!(InfoView, Kind::namespaced("", "v1", "ConfigMap", "configmaps"));

impl TokenView {
    /// A part as text; empty when it is none.
    fn part(&self, name: &str) -> String {
        let decoded = self.data.get(name).and_then(|text| BASE64_STANDARD.decode(text.as_bytes()).ok());
        decoded.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
    }
    /// When it ends; an end that cannot be read has been.
    pub fn ends(&self) -> Option<Timestamp> {
        let text = self.part("expiration");
        (!text.is_empty()).then(|| text.parse().unwrap_or(Timestamp::MIN))
    }
    /// Id and secret of one that may sign at that time.
    pub fn signs(&self, now: Timestamp) -> Option<(String, String)> {
        let (id, secret) = (self.part("token-id"), self.part("token-secret"));
        let is_named = self.metadata.name.strip_prefix("bootstrap-token-") == Some(id.as_str());
        let is_id = id.len() == 6 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let is_over = self.ends().is_some_and(|end| end <= now);
        let may = is_named && is_id && !secret.is_empty() && !is_over;
        (may && self.part("usage-bootstrap-signing") == "true").then_some((id, secret))
    }
}

/// What is decided about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// The config map.
    Info,
    /// A token.
    Token(Key),
}

/// The tokens and what they sign.
#[derive(Debug, Default)]
pub struct Tokens {
    /// The config map, when there is one.
    pub info: Option<Arc<InfoView>>,
    /// Tokens by name.
    pub tokens: HashMap<Key, Arc<TokenView>>,
}

impl Tokens {
    /// Takes in a change of a token.
    pub fn token(&mut self, change: &Change<TokenView>, wake: &Queue<Item>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        match &change.new {
            Some(token) => drop(self.tokens.insert(key.clone(), token.clone())),
            None => drop(self.tokens.remove(&key)),
        }
        wake.mark(Item::Info);
        wake.mark(Item::Token(key));
    }
}
