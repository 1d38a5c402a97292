//! What a namespace holds already, and the certificate authority.

use proa_kit::{
    Filter, Key, Kind, Meta, Pairs, Reader, Typed,
    views::{ConfigMapView, ServiceAccountView, meta},
};
use serde::Deserialize;
use std::sync::Arc;

/// Name of the account.
pub(crate) const ACCOUNT: &str = "default";
/// Name of the config map.
pub(crate) const BUNDLE: &str = "kube-root-ca.crt";
/// Where the API server publishes its authorities.
const AUTHORITY: (&str, &str) = ("kube-system", "extension-apiserver-authentication");
const AUTHORITY_KEY: &str = "client-ca-file";

const CONFIG_MAPS: Kind = ConfigMapView::KIND;

/// A config map with its annotations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BundleView {
    /// Metadata with annotations.
    #[serde(deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Its texts.
    pub data: Pairs,
}

proa_kit::view!(BundleView, CONFIG_MAPS);

/// The config map with the API server's authorities.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authority {
    /// Metadata.
    pub metadata: Meta,
    /// Its texts.
    pub data: Pairs,
}

proa_kit::view!(Authority, CONFIG_MAPS);

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Whether the account is there.
    pub has_account: bool,
    /// The config map, if it is there.
    pub bundle: Option<Arc<BundleView>>,
    /// Certificates of the authority, once known.
    pub authority: Option<Box<str>>,
}

fn named(name: &str) -> Filter {
    Filter::fields(&format!("metadata.name={name}"))
}

pub(crate) fn account_filter() -> Filter {
    named(ACCOUNT)
}

pub(crate) fn bundle_filter() -> Filter {
    named(BUNDLE)
}

pub(crate) fn authority_filter() -> Filter {
    Filter { namespace: AUTHORITY.0.into(), ..named(AUTHORITY.1) }
}

/// Reads it from the caches.
pub(crate) fn observe(reader: &Reader, namespace: &str) -> Observed {
    let accounts = reader.cache_of::<ServiceAccountView>(&ServiceAccountView::KIND, &account_filter());
    let bundles = reader.cache_of::<BundleView>(&CONFIG_MAPS, &bundle_filter());
    let authorities = reader.cache_of::<Authority>(&CONFIG_MAPS, &authority_filter());
    let authority = authorities.get(&Key::new(AUTHORITY.0, AUTHORITY.1));
    Observed {
        has_account: accounts.get(&Key::new(namespace, ACCOUNT)).is_some(),
        bundle: bundles.get(&Key::new(namespace, BUNDLE)),
        authority: authority.and_then(|map| map.data.get(AUTHORITY_KEY).map(Into::into)),
    }
}
