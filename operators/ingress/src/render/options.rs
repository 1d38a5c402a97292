//! Annotations of an ingress, as ingress-nginx names them, become options. Pure.
//!
//! Invariant: an annotation is obeyed, or it is a [`Problem`] that names it. An ingress whose access an annotation restricts
//! in a way that is not known here is *closed*: its requests are answered with 503 instead of being let through.
//! Upstream: kubernetes/ingress-nginx docs/user-guide/nginx-configuration/annotations.md.

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use proa_kit::Pairs;
use std::{fmt::Display, net::IpAddr, str::FromStr, time::Duration};

/// First part of the annotations that are obeyed.
pub const PREFIX: &str = "nginx.ingress.kubernetes.io/";
/// What annotations of other controllers have before the slash.
const FOREIGN: &str = "ingress.kubernetes.io";
/// Annotations that restrict access: what stands behind the prefix begins with one of these.
const RESTRICTING: [&str; 6] =
    ["auth-", "enable-global-auth", "satisfy", "enable-modsecurity", "modsecurity-", "limit-whitelist"];

/// Annotations that ask for what is so anyway.
const SATISFIED: [(&str, &str); 9] = [
    ("proxy-buffering", "off"),
    ("proxy-request-buffering", "off"),
    ("proxy-http-version", "1.1"),
    ("proxy-ssl-verify", "off"),
    ("enable-access-log", "false"),
    ("enable-cors", "false"),
    ("enable-global-auth", "false"),
    ("enable-modsecurity", "false"),
    ("ssl-passthrough", "false"),
];

/// Largest body of a request, as ingress-nginx has it by default.
const BODY_LIMIT: u64 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// What of an ingress is not as its owner wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One word.
    pub reason: &'static str,
    /// What, and why.
    pub note: String,
}

impl Problem {
    pub(crate) fn annotation(key: &str, why: impl Display) -> Self {
        Self { reason: "UnsupportedAnnotation", note: format!("annotation {key}: {why}") }
    }
}

/// What backends speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 in TLS; certificates are not verified.
    Https,
    /// HTTP/2 without TLS.
    Grpc,
    /// HTTP/2 in TLS; certificates are not verified.
    Grpcs,
}

impl Protocol {
    /// Whether it is HTTP/2.
    pub fn is_h2(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }
    /// Whether it is inside TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }
}

/// Clients stay with an endpoint by a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Name of the cookie.
    pub cookie: Box<str>,
    /// Its path.
    pub path: Box<str>,
    /// How long it is kept, in seconds; until the browser ends when absent.
    pub max_age: Option<u64>,
}

/// How requests of one ingress are treated.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What the path is replaced by.
    pub rewrite: Option<Box<str>>,
    /// Whether paths are regular expressions.
    pub use_regex: bool,
    /// Whether HTTP is redirected to HTTPS where the host has TLS.
    pub ssl_redirect: bool,
    /// Whether HTTP is redirected to HTTPS in any case.
    pub force_ssl_redirect: bool,
    /// What backends speak.
    pub protocol: Protocol,
    /// Stickiness.
    pub affinity: Option<Affinity>,
    /// Most bytes of a request's body.
    pub body_limit: Option<u64>,
    /// How long a connection to a backend may take.
    pub connect_timeout: Duration,
    /// How long a backend may be silent.
    pub read_timeout: Duration,
    /// Who may come in; everybody when empty.
    pub allow: Vec<IpNet>,
    /// Who may not.
    pub deny: Vec<IpNet>,
    /// Nobody may, because it is not known who.
    pub is_closed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rewrite: None,
            use_regex: false,
            ssl_redirect: true,
            force_ssl_redirect: false,
            protocol: Protocol::Http,
            affinity: None,
            body_limit: Some(BODY_LIMIT),
            connect_timeout: CONNECT_TIMEOUT,
            read_timeout: READ_TIMEOUT,
            allow: Vec::new(),
            deny: Vec::new(),
            is_closed: false,
        }
    }
}

impl Options {
    /// Whether a client may come in.
    pub fn admits(&self, client: IpAddr) -> bool {
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        (self.allow.is_empty() || within(&self.allow)) && !within(&self.deny)
    }
}

/// Which requests of a path go to another service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Share {
    /// How many of `total` do.
    pub weight: u64,
    /// Of how many.
    pub total: u64,
    /// Those with this header: with this value, or with `always` and not with `never`.
    pub header: Option<(HeaderName, Option<HeaderValue>)>,
    /// Those with this cookie: with `always`, and not with `never`.
    pub cookie: Option<Box<str>>,
}

/// What annotations say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parsed {
    /// How requests are treated.
    pub options: Options,
    /// Whether the ingress only takes a share of another one's requests.
    pub canary: Option<Share>,
    /// What cannot be done.
    pub problems: Vec<Problem>,
}

/// Reads annotations.
pub fn parse(annotations: &Pairs) -> Parsed {
    let mut reading = Reading { annotations, parsed: Parsed::default() };
    for (key, value) in annotations.iter() {
        match key.strip_prefix(PREFIX) {
            Some(name) => reading.one(key, name, value),
            None if is_foreign(key) => {
                reading.problem(key, "annotations of other controllers have no effect here");
            }
            None => {}
        }
    }
    if reading.parsed.canary.is_some() {
        reading.inherited();
    }
    reading.parsed
}

fn is_foreign(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| domain.ends_with(FOREIGN))
}

struct Reading<'a> {
    annotations: &'a Pairs,
    parsed: Parsed,
}

impl Reading<'_> {
    fn problem(&mut self, key: &str, why: impl Display) {
        self.parsed.problems.push(Problem::annotation(key, why));
    }
    fn close(&mut self, key: &str, why: &str) {
        self.parsed.options.is_closed = true;
        self.problem(key, format!("{why}; requests are answered with 503 until it is gone"));
    }
    fn value<T: FromStr>(&mut self, key: &str, value: &str, what: &str) -> Option<T> {
        let parsed = value.trim().parse().ok();
        if parsed.is_none() {
            self.problem(key, format!("{value:?} is no {what}"));
        }
        parsed
    }
    fn is(&mut self, key: &str, value: &str) -> Option<bool> {
        self.value(key, value, "true or false")
    }
    fn seconds(&mut self, key: &str, value: &str) -> Option<Duration> {
        let seconds = self.value(key, value, "number of seconds").filter(|seconds| *seconds > 0);
        seconds.map(Duration::from_secs)
    }
    fn other(&self, name: &str) -> Option<&str> {
        self.annotations.get(&format!("{PREFIX}{name}"))
    }

    fn one(&mut self, key: &str, name: &str, value: &str) {
        match name {
            "rewrite-target" => {
                self.parsed.options.rewrite = Some(value).filter(|path| !path.is_empty()).map(Into::into);
            }
            "use-regex" => self.parsed.options.use_regex = self.is(key, value) == Some(true),
            "ssl-redirect" => self.parsed.options.ssl_redirect = self.is(key, value) != Some(false),
            "force-ssl-redirect" => {
                self.parsed.options.force_ssl_redirect = self.is(key, value) == Some(true);
            }
            "backend-protocol" => self.protocol(key, value),
            "proxy-body-size" => match size(value) {
                Some(bytes) => self.parsed.options.body_limit = Some(bytes).filter(|bytes| *bytes > 0),
                None => self.problem(key, format!("{value:?} is no size such as 8m")),
            },
            "proxy-connect-timeout" => {
                if let Some(time) = self.seconds(key, value) {
                    self.parsed.options.connect_timeout = time;
                }
            }
            "proxy-read-timeout" => {
                if let Some(time) = self.seconds(key, value) {
                    self.parsed.options.read_timeout = time;
                }
            }
            "whitelist-source-range" | "allowlist-source-range" => {
                let networks = self.networks(key, value);
                let is_blank = value.split(',').all(|part| part.trim().is_empty());
                if is_blank && !value.is_empty() {
                    self.close(key, "it names no network");
                }
                self.parsed.options.allow.extend(networks);
            }
            "denylist-source-range" => {
                let networks = self.networks(key, value);
                self.parsed.options.deny.extend(networks);
            }
            "affinity" => self.affinity(key, value),
            "session-cookie-name" if !is_token(value) => {
                self.problem(key, format!("{value:?} is no name of a cookie"));
            }
            "session-cookie-path" if !is_cookie_text(value) => {
                self.problem(key, format!("{value:?} is no path"));
            }
            "session-cookie-name" | "session-cookie-path" => {}
            "session-cookie-max-age" => {
                let _: Option<u64> = self.value(key, value, "number of seconds");
            }
            "canary" => self.canary(key, value),
            "canary-weight" | "canary-weight-total" => {
                let _: Option<u64> = self.value(key, value, "number");
            }
            "canary-by-header" => {
                let _: Option<HeaderName> = self.value(key, value, "name of a header");
            }
            "canary-by-header-value" => {
                let _: Option<HeaderValue> = self.value(key, value, "value of a header");
            }
            "canary-by-cookie" => {}
            _ if SATISFIED.contains(&(name, value)) => {}
            _ if RESTRICTING.iter().any(|start| name.starts_with(start)) => {
                self.close(key, "it restricts access in a way that is not supported");
            }
            _ => self.problem(key, "it is not supported and has no effect"),
        }
    }
    /// A canary is treated as the ingress that it takes a share of.
    fn inherited(&mut self) {
        for (key, _) in self.annotations.iter() {
            let name = key.strip_prefix(PREFIX);
            let is_told = self.parsed.problems.iter().any(|problem| problem.note.contains(key));
            if name.is_some_and(|name| !name.starts_with("canary")) && !is_told {
                self.problem(key, "it has no effect on a canary, for which those of the main ingress count");
            }
        }
    }
    fn protocol(&mut self, key: &str, value: &str) {
        match value.to_ascii_uppercase().as_str() {
            "HTTP" | "AUTO_HTTP" => self.parsed.options.protocol = Protocol::Http,
            "HTTPS" => self.parsed.options.protocol = Protocol::Https,
            "GRPC" => self.parsed.options.protocol = Protocol::Grpc,
            "GRPCS" => self.parsed.options.protocol = Protocol::Grpcs,
            _ => self.close(key, "supported are HTTP, HTTPS, GRPC and GRPCS"),
        }
    }
    fn networks(&mut self, key: &str, value: &str) -> Vec<IpNet> {
        let mut networks = Vec::new();
        for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => networks.push(network),
                Err(_) => self.close(key, &format!("{part:?} is no network")),
            }
        }
        networks
    }
    fn affinity(&mut self, key: &str, value: &str) {
        if value != "cookie" {
            return self.problem(key, "supported is cookie");
        }
        let name = self.other("session-cookie-name").filter(|name| is_token(name));
        self.parsed.options.affinity = Some(Affinity {
            cookie: name.unwrap_or("INGRESSCOOKIE").into(),
            path: self.other("session-cookie-path").filter(|path| is_cookie_text(path)).unwrap_or("/").into(),
            max_age: self.other("session-cookie-max-age").and_then(|age| age.parse().ok()),
        });
    }
    fn canary(&mut self, key: &str, value: &str) {
        if self.is(key, value) != Some(true) {
            return;
        }
        let number = |name: &str| self.other(name).and_then(|text| text.trim().parse().ok());
        let total = number("canary-weight-total").filter(|total| *total > 0).unwrap_or(100);
        let header = self.other("canary-by-header").and_then(|name| name.parse::<HeaderName>().ok());
        let wanted = self.other("canary-by-header-value").and_then(|value| value.parse().ok());
        self.parsed.canary = Some(Share {
            weight: number("canary-weight").unwrap_or(0).min(total),
            total,
            header: header.map(|name| (name, wanted)),
            cookie: self.other("canary-by-cookie").map(Into::into),
        });
    }
}

/// Bytes as nginx writes them: `512`, `8k`, `20m`, `1g`.
fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Whether a text can name a cookie (RFC 6265).
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_cookie_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(pairs: &[(&str, &str)]) -> Parsed {
        parse(&pairs.iter().map(|(key, value)| (format!("{PREFIX}{key}"), *value)).collect())
    }

    #[test]
    fn sizes_are_as_nginx_has_them() {
        assert_eq!(size("8m"), Some(8 << 20));
        assert_eq!(size("512"), Some(512));
        assert_eq!((size("1x"), size("m"), size("99999999999g")), (None, None, None));
        assert_eq!(parsed(&[("proxy-body-size", "0")]).options.body_limit, None);
    }

    #[test]
    fn what_restricts_access_and_is_not_known_closes() {
        let closed = parsed(&[("auth-url", "http://a/")]);
        assert!(closed.options.is_closed && closed.problems[0].note.contains("auth-url"), "{closed:?}");
        assert!(parsed(&[("whitelist-source-range", "nonsense")]).options.is_closed);
        let open = parsed(&[("enable-cors", "true")]);
        assert!(!open.options.is_closed);
        assert_eq!(
            open.problems[0].note,
            "annotation nginx.ingress.kubernetes.io/enable-cors: it is not supported and has no effect"
        );
    }

    #[test]
    fn clients_are_admitted_by_network() {
        let some = parsed(&[
            ("whitelist-source-range", "10.0.0.0/8, 192.0.2.1"),
            ("denylist-source-range", "10.1.0.0/16"),
        ]);
        let admits = |address: &str| some.options.admits(address.parse().unwrap());
        assert_eq!(
            ["10.2.0.1", "192.0.2.1", "10.1.0.1", "192.0.2.2", "::1"].map(admits),
            [true, true, false, false, false]
        );
        // What cert-manager writes.
        assert!(
            parsed(&[("whitelist-source-range", "0.0.0.0/0,::/0")]).options.admits([127, 0, 0, 1].into())
        );
    }

    #[test]
    fn canaries_are_told_what_they_inherit() {
        let canary = parsed(&[("canary", "true"), ("canary-weight", "5"), ("proxy-body-size", "8m")]);
        assert_eq!(canary.canary.map(|share| (share.weight, share.total)), Some((5, 100)));
        assert!(canary.problems[0].note.contains("proxy-body-size"), "{:?}", canary.problems);
        assert_eq!(canary.problems.len(), 1);
        assert_eq!(parsed(&[("proxy-buffering", "off"), ("enable-cors", "false")]).problems, []);
    }

    #[test]
    fn cookies_that_cannot_be_have_the_usual_name() {
        let affinity = parsed(&[
            ("affinity", "cookie"),
            ("session-cookie-name", "a b"),
            ("session-cookie-max-age", "60"),
        ]);
        let affinity = affinity.options.affinity.unwrap();
        assert_eq!((&*affinity.cookie, affinity.max_age), ("INGRESSCOOKIE", Some(60)));
    }
}
