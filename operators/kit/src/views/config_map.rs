//! ConfigMap.

use super::{Meta, Pairs};
use crate::kind::Kind;
use serde::Deserialize;

/// A config map; binary data is left out.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ConfigMapView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// Its texts.
    #[serde(default)]
    pub data: Pairs,
}

crate::view!(ConfigMapView, Kind::namespaced("", "v1", "ConfigMap", "configmaps"));
