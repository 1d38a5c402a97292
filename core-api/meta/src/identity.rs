//! Who is asking: the user that authentication established.
//!
//! Upstream: apiserver `pkg/authentication/user/user.go`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An authenticated (or anonymous) user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User name, such as `system:serviceaccount:default:builder`.
    #[serde(rename = "username", default)]
    pub name: String,
    /// Unique id, empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups, such as `system:authenticated`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Further attributes, such as `authentication.kubernetes.io/pod-name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Group of requests without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Group of every authenticated user.
pub const AUTHENTICATED: &str = "system:authenticated";
/// User of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// Group that every authorizer lets pass.
pub const MASTERS: &str = "system:masters";
/// Group of all service accounts; `system:serviceaccounts:NAMESPACE` is the group of one namespace's.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
/// Extra attribute that names the credential.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

impl User {
    /// A user in the given groups.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        Self { name: name.into(), groups: groups.iter().map(|&g| g.to_owned()).collect(), ..Self::default() }
    }
    /// The user of requests without credentials.
    pub fn anonymous() -> Self {
        Self::new(ANONYMOUS, &[UNAUTHENTICATED])
    }
    /// The user, in the group of all authenticated ones unless it is nobody known.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if !self.in_group(AUTHENTICATED) && !self.in_group(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
    /// Whether the user is in `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
    /// Namespace and name, when this is a service account.
    pub fn service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }
}
