//! ServiceAccount.

use super::Meta;
use crate::kind::Kind;
use serde::Deserialize;

/// A service account.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ServiceAccountView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
}

crate::view!(ServiceAccountView, Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts"));
