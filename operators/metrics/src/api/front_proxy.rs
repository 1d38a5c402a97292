//! Who asks: what the cluster's front proxy says in headers. It is known by its certificate. Pure.
//!
//! Upstream: apiserver `pkg/authentication/request/headerrequest/requestheader.go`.

use super::route::Access;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use proa_kit::views::ConfigMapView;
use proa_meta::User;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Which front proxy counts, and its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrontProxy {
    /// PEM of the authority that signs its certificate.
    pub(super) authority: String,
    names: Vec<String>,
    user: Vec<String>,
    uid: Vec<String>,
    groups: Vec<String>,
    extra: Vec<String>,
}

impl FrontProxy {
    /// As the cluster says; none when it says nothing.
    pub(super) fn of(map: &ConfigMapView) -> Option<Self> {
        let list = |key: &str| -> Vec<String> {
            serde_json::from_str(map.data.get(key).unwrap_or("[]")).unwrap_or_default()
        };
        let authority = map.data.get("requestheader-client-ca-file").filter(|text| !text.is_empty())?;
        Some(Self {
            authority: authority.to_owned(),
            names: list("requestheader-allowed-names"),
            user: list("requestheader-username-headers"),
            uid: list("requestheader-uid-headers"),
            groups: list("requestheader-group-headers"),
            extra: list("requestheader-extra-headers-prefix"),
        })
    }

    /// Whether a certificate, which its authority has signed, is the proxy's. Without names any is.
    pub(super) fn is(&self, certificate: &[u8]) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
        let mut names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        self.names.is_empty() || names.any(|name| self.names.iter().any(|own| own == name))
    }

    /// Whom the proxy speaks for.
    pub(super) fn user(&self, headers: &HeaderMap) -> Option<User> {
        let values = |names: &[String]| -> Vec<String> {
            let all = names.iter().flat_map(|name| headers.get_all(name.as_str()));
            all.filter_map(|value| String::from_utf8(value.as_bytes().to_vec()).ok()).collect()
        };
        let name = values(&self.user).into_iter().find(|name| !name.is_empty())?;
        let mut user = User { name, groups: values(&self.groups), ..User::default() };
        user.uid = values(&self.uid).into_iter().next().unwrap_or_default();
        for (header, value) in headers {
            let prefix = |own: &String| header.as_str().strip_prefix(&own.to_ascii_lowercase());
            let (Some(key), Ok(value)) = (self.extra.iter().find_map(prefix), value.to_str()) else {
                continue;
            };
            let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
            user.extra.entry(key).or_default().push(value.to_owned());
        }
        Some(user)
    }
}

/// `spec` of a SubjectAccessReview.
pub(super) fn review(user: &User, access: &Access) -> Value {
    let mut spec = json!({"user": user.name, "groups": user.groups, "uid": user.uid, "extra": user.extra});
    match access {
        Access::Path(path) => spec["nonResourceAttributes"] = json!({"verb": "get", "path": path}),
        Access::Resource { verb, resource, namespace, name } => {
            spec["resourceAttributes"] = json!({"verb": verb, "group": "metrics.k8s.io", "version": "v1beta1",
                "resource": resource, "namespace": namespace, "name": name});
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> FrontProxy {
        let map = json!({"data": {
            "requestheader-client-ca-file": "PEM", "requestheader-allowed-names": r#"["front"]"#,
            "requestheader-username-headers": r#"["X-Remote-User"]"#,
            "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
            "requestheader-group-headers": r#"["X-Remote-Group"]"#,
            "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#}});
        FrontProxy::of(&serde_json::from_str(&map.to_string()).unwrap()).unwrap()
    }

    #[test]
    fn a_user_is_what_the_headers_say() {
        let mut headers = HeaderMap::new();
        assert_eq!(proxy().user(&headers), None);
        for (name, value) in [
            ("x-remote-user", "jane"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-example.com%2fscope", "s"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let user = proxy().user(&headers).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "7"));
        assert_eq!(user.groups, ["a", "b"]);
        assert_eq!(user.extra["example.com/scope"], ["s"]);
    }

    #[test]
    fn only_the_named_certificate_counts() {
        let certificate = |name: &str| {
            let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
        };
        assert!(proxy().is(&certificate("front")));
        assert!(!proxy().is(&certificate("kubelet")));
        assert!(!proxy().is(b"no certificate"));
        assert!(FrontProxy { names: Vec::new(), ..proxy() }.is(&certificate("kubelet")));
        assert_eq!(FrontProxy::of(&ConfigMapView::default()), None);
    }
}
