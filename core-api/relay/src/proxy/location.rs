//! Paths on both sides of a proxy, and redirects between them.
//!
//! Pure. Upstream: apimachinery `pkg/util/proxy/transport.go`.

use http::Uri;

/// A request's path up to and with `proxy`, and what is behind it as it was written.
pub(super) fn split(path: &str, namespaced: bool) -> (&str, &str) {
    // api, v1, [namespaces, NAMESPACE,] RESOURCE, NAME, proxy
    let segments = if namespaced { 7 } else { 5 };
    let start = path.len() - path.trim_start_matches('/').len();
    let mut ends = path[start..].match_indices('/').map(|(at, _)| start + at);
    path.split_at(ends.nth(segments - 1).unwrap_or(path.len()))
}

/// Who sees what under which address.
pub(super) struct Seen<'a> {
    /// The path of the proxy.
    pub(super) prefix: &'a str,
    /// `host:port` of what is behind it.
    pub(super) target: &'a str,
    /// The host that the client asked for.
    pub(super) client: &'a str,
}

impl Seen<'_> {
    /// A redirect to the same place leads through the proxy; others and relative ones stay.
    pub(super) fn rewrite(&self, location: &str) -> String {
        let Ok(url) = location.parse::<Uri>() else { return location.to_owned() };
        let host = url.authority().map(http::uri::Authority::as_str);
        let path = if location.starts_with('/') || host.is_some() { url.path() } else { "" };
        let elsewhere = host.is_some_and(|host| host != self.target && host != self.client);
        if elsewhere || !path.starts_with('/') || location.starts_with("//") {
            return location.to_owned();
        }
        let own = host.filter(|host| *host == self.client).and(url.scheme_str());
        let origin = own.map(|scheme| format!("{scheme}://{}", self.client)).unwrap_or_default();
        let prefix = if path.starts_with(self.prefix) { "" } else { self.prefix };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let fragment = location.split_once('#').map(|(_, rest)| format!("#{rest}")).unwrap_or_default();
        format!("{origin}{prefix}{path}{query}{fragment}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_behind_the_proxy_stay_as_they_are_written() {
        let table = [
            ("/api/v1/namespaces/d/pods/p/proxy", true, ""),
            ("/api/v1/namespaces/d/pods/p/proxy/", true, "/"),
            ("/api/v1/namespaces/d/pods/p/proxy/a%2Fb//c/", true, "/a%2Fb//c/"),
            ("/api/v1/namespaces/d/services/https:s:443/proxy/x", true, "/x"),
            ("/api/v1/nodes/n/proxy/healthz", false, "/healthz"),
        ];
        for (whole, namespaced, behind) in table {
            let (prefix, path) = split(whole, namespaced);
            assert_eq!(path, behind, "{whole}");
            assert!(prefix.ends_with("/proxy"), "{prefix}");
        }
    }

    #[test]
    fn redirects_to_the_same_place_lead_through_the_proxy() {
        let prefix = "/api/v1/namespaces/d/pods/p/proxy";
        let seen = Seen { prefix, target: "10.0.0.1:80", client: "localhost:8001" };
        for (location, want) in [
            ("/login?next=/a", format!("{prefix}/login?next=/a")),
            ("/", format!("{prefix}/")),
            ("http://10.0.0.1:80/a/#b", format!("{prefix}/a/#b")),
            ("http://localhost:8001/a", format!("http://localhost:8001{prefix}/a")),
            ("/api/v1/namespaces/d/pods/p/proxy/a", format!("{prefix}/a")),
            ("https://example.com/a", "https://example.com/a".to_owned()),
            ("a/b", "a/b".to_owned()),
            ("//example.com/a", "//example.com/a".to_owned()),
        ] {
            assert_eq!(seen.rewrite(location), want, "{location}");
        }
    }
}
