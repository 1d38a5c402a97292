//! The text of kubeconfig files.
//!
//! Pure. YAML whose scalars are JSON strings, so that no name needs thought.

use super::authority::Issued;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

/// Who reaches which server, and how they trust each other.
pub(super) struct Access<'a> {
    pub(super) server: &'a str,
    pub(super) cluster: &'a str,
    pub(super) user: &'a str,
    /// PEM of the server's authority.
    pub(super) authority: &'a str,
    pub(super) issued: &'a Issued,
}

/// A complete kubeconfig with one context.
pub(super) fn text(access: &Access<'_>) -> String {
    let quoted = |text: &str| json!(text).to_string();
    let (cluster, user) = (quoted(access.cluster), quoted(access.user));
    let context = quoted(&format!("{}@{}", access.user, access.cluster));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {cluster}\n  \
           cluster:\n    \
             server: {server}\n    \
             certificate-authority-data: {authority}\n\
         users:\n\
         - name: {user}\n  \
           user:\n    \
             client-certificate-data: {certificate}\n    \
             client-key-data: {key}\n\
         contexts:\n\
         - name: {context}\n  \
           context:\n    \
             cluster: {cluster}\n    \
             user: {user}\n\
         current-context: {context}\n",
        server = quoted(access.server),
        authority = STANDARD.encode(access.authority),
        certificate = STANDARD.encode(&access.issued.certificate),
        key = STANDARD.encode(&access.issued.key),
    )
}
