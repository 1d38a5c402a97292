//! What `/version` says.
//!
//! `major` and `minor` are digits only: clients compare them. Upstream: apimachinery `pkg/version/types.go`.

use serde::Serialize;
use std::borrow::Cow;

/// The API level that is served.
pub const GIT_VERSION: &str = "v1.37.2+proa.0";

/// Build and version facts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionInfo {
    /// Major API version, digits only.
    pub major: Cow<'static, str>,
    /// Minor API version, digits only.
    pub minor: Cow<'static, str>,
    /// As `emulationMajor` upstream: the version whose behaviour is shown.
    pub emulation_major: Cow<'static, str>,
    /// Its minor part.
    pub emulation_minor: Cow<'static, str>,
    /// Oldest version that this one can be mixed with.
    pub min_compatibility_major: Cow<'static, str>,
    /// Its minor part.
    pub min_compatibility_minor: Cow<'static, str>,
    /// Full version.
    pub git_version: Cow<'static, str>,
    /// Commit it was built from.
    pub git_commit: Cow<'static, str>,
    /// `clean` or `dirty`.
    pub git_tree_state: Cow<'static, str>,
    /// When it was built, RFC 3339.
    pub build_date: Cow<'static, str>,
    /// Language version; the field's name is the API's.
    pub go_version: Cow<'static, str>,
    /// Compiler.
    pub compiler: Cow<'static, str>,
    /// Operating system and architecture.
    pub platform: Cow<'static, str>,
}

impl Default for VersionInfo {
    fn default() -> Self {
        let platform = format!("{}/{}", std::env::consts::OS, go_architecture(std::env::consts::ARCH));
        Self {
            major: "1".into(),
            minor: "37".into(),
            emulation_major: "1".into(),
            emulation_minor: "37".into(),
            min_compatibility_major: "1".into(),
            min_compatibility_minor: "36".into(),
            git_version: GIT_VERSION.into(),
            git_commit: "".into(),
            git_tree_state: "clean".into(),
            build_date: "1970-01-01T00:00:00Z".into(),
            go_version: "rust".into(),
            compiler: "rustc".into(),
            platform: platform.into(),
        }
    }
}

/// Architectures as Go names them, which is what clients know.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_find_digits_and_camel_case() {
        let json = serde_json::to_value(VersionInfo::default()).unwrap();
        assert_eq!(json["major"], "1");
        assert_eq!(json["minor"], "37");
        assert_eq!(json["gitVersion"], GIT_VERSION);
        assert!(json["platform"].as_str().unwrap().contains('/'));
    }
}
