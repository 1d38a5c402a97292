//! Which path of which host leads where. Pure; shared by the server and by tests that have no sockets.
//!
//! A host is looked up as it is, then as `*.` and all but its first part, then as none; the first that is there is the one.
//! In it the exact path counts, then the longest of prefixes and expressions, then the default backend of the host, then
//! that of the cluster. Prefixes are by path element, `ImplementationSpecific` is a prefix, and both are regular expressions
//! where `use-regex` says so, or where `rewrite-target` comes with a path that is one, as with ingress-nginx.

use super::options::{Options, Share};
use crate::index::views::{BackendPort, TlsSecretView};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use proa_kit::Key;
use regex::Regex;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The service.
    pub service: Key,
    /// Its port.
    pub port: BackendPort,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.service, self.port)
    }
}

/// A share of a route's requests that goes elsewhere.
#[derive(Clone, Debug)]
pub struct Canary {
    /// Which requests.
    pub share: Share,
    /// Where.
    pub target: Target,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where; nothing when the ingress names something that is no service.
    pub target: Option<Target>,
    /// How.
    pub options: Arc<Options>,
    /// What share goes elsewhere.
    pub canary: Option<Canary>,
}

/// A path that is a regular expression.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
    route: Route,
}

/// Largest compiled expression.
const MOST_OF_REGEX: usize = 1 << 20;

impl Pattern {
    fn new(text: &str, expression: &str, route: Route) -> Result<Self, regex::Error> {
        let mut builder = regex::RegexBuilder::new(expression);
        let regex = builder.case_insensitive(true).size_limit(MOST_OF_REGEX).build()?;
        Ok(Self { text: text.into(), regex, route })
    }
}

/// One host.
#[derive(Clone, Debug, Default)]
pub struct Vhost {
    pub(crate) exact: HashMap<Box<str>, Route>,
    /// Without the slash at their end, so `/` is the empty text.
    pub(crate) prefixes: HashMap<Box<str>, Route>,
    /// The longest first.
    pub(crate) patterns: Vec<Pattern>,
    /// Where requests for no path go.
    pub(crate) fallback: Option<Route>,
    /// Whether HTTPS was asked for.
    pub(crate) has_tls: bool,
    /// Its certificate; the default one when absent.
    pub(crate) certificate: Option<Arc<TlsSecretView>>,
}

/// What a request's path leads to.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Where to.
    pub route: &'a Route,
    /// The expression that the path matched.
    regex: Option<&'a Regex>,
    /// Whether the host has TLS.
    pub has_tls: bool,
}

impl Vhost {
    /// Adds a path. The first of equal ones stays; tells whether it is new.
    pub(crate) fn add(&mut self, kind: &str, path: &str, route: Route) -> Result<bool, regex::Error> {
        let options = &route.options;
        let is_regex = options.use_regex || options.rewrite.is_some() && has_operators(path);
        if kind == "Exact" && !options.use_regex {
            return Ok(insert(&mut self.exact, path, route));
        }
        if !is_regex {
            return Ok(insert(&mut self.prefixes, path.trim_end_matches('/'), route));
        }
        if self.patterns.iter().any(|own| *own.text == *path) {
            return Ok(false);
        }
        let end = if kind == "Exact" { "$" } else { "" };
        // The group keeps the ends for all alternatives.
        let pattern = Pattern::new(path, &format!("^(?:{path}){end}"), route)?;
        let at = self.patterns.partition_point(|own| own.text.len() >= path.len());
        self.patterns.insert(at, pattern);
        Ok(true)
    }
    /// The route of an equal path.
    pub(crate) fn route_mut(&mut self, kind: &str, path: &str) -> Option<&mut Route> {
        if let Some(at) = self.patterns.iter().position(|own| *own.text == *path) {
            return Some(&mut self.patterns[at].route);
        }
        match kind {
            "Exact" => self.exact.get_mut(path),
            _ => self.prefixes.get_mut(path.trim_end_matches('/')),
        }
    }
    /// Whether nothing leads anywhere and no certificate is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { exact, prefixes, patterns, fallback, has_tls, certificate } = self;
        let has_routes =
            !exact.is_empty() || !prefixes.is_empty() || !patterns.is_empty() || fallback.is_some();
        !has_routes && !has_tls && certificate.is_none()
    }
    fn find(&self, path: &str) -> Option<Found<'_>> {
        let found = |route, regex| Some(Found { route, regex, has_tls: self.has_tls });
        if let Some(route) = self.exact.get(path) {
            return found(route, None);
        }
        let prefix = self.longest_prefix(path);
        // `/` is the empty text here, and as long as the expression `/`.
        let longest = prefix.map_or(0, |(length, _)| length.max(1));
        let longer = self.patterns.iter().take_while(|own| own.text.len() > longest);
        if let Some(pattern) = longer.into_iter().find(|own| own.regex.is_match(path)) {
            return found(&pattern.route, Some(&pattern.regex));
        }
        if let Some((_, route)) = prefix {
            return found(route, None);
        }
        let mut rest = self.patterns.iter();
        if let Some(pattern) = rest.find(|own| own.text.len() <= longest && own.regex.is_match(path)) {
            return found(&pattern.route, Some(&pattern.regex));
        }
        self.fallback.as_ref().and_then(|route| found(route, None))
    }
    fn longest_prefix(&self, path: &str) -> Option<(usize, &Route)> {
        if self.prefixes.is_empty() {
            return None;
        }
        let mut end = path.len();
        loop {
            if let Some(route) = self.prefixes.get(&path[..end]) {
                return Some((end, route));
            }
            end = path[..end].rfind('/')?;
        }
    }
    /// Whether HTTPS was asked for.
    pub fn has_tls(&self) -> bool {
        self.has_tls
    }
    /// Its certificate; the default one when absent.
    pub fn certificate(&self) -> Option<&Arc<TlsSecretView>> {
        self.certificate.as_ref()
    }
    /// For people: path -> where.
    pub fn describe(&self) -> BTreeMap<String, String> {
        let exact = self.exact.iter().map(|(path, route)| (format!("= {path}"), route));
        let prefixes = self.prefixes.iter().map(|(path, route)| (format!("{path}/"), route));
        let patterns = self.patterns.iter().map(|own| (format!("~ {}", own.text), &own.route));
        let fallback = self.fallback.iter().map(|route| ("default".to_owned(), route));
        let all = exact.chain(prefixes).chain(patterns).chain(fallback);
        all.map(|(path, route)| (path, route.to_string())).collect()
    }
}

fn insert(map: &mut HashMap<Box<str>, Route>, path: &str, route: Route) -> bool {
    let is_new = !map.contains_key(path);
    if is_new {
        map.insert(path.into(), route);
    }
    is_new
}

/// Whether a path means more as an expression than as a text.
fn has_operators(path: &str) -> bool {
    path.contains(['(', ')', '[', ']', '|', '*', '+', '?', '^', '$', '\\', '{'])
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => write!(f, "{target}")?,
            None => f.write_str("nothing")?,
        }
        if self.options.is_closed {
            f.write_str(" (closed)")?;
        }
        match &self.canary {
            Some(Canary { share, target }) => write!(f, ", {}/{} {target}", share.weight, share.total),
            None => Ok(()),
        }
    }
}

/// What an expression matched is decoded: in the new path it must mean no more than it did.
const MATCHED: &AsciiSet = &CONTROLS.add(b'%').add(b'?');

impl Found<'_> {
    /// The path for the backend, where it is another one. `$1` to `$9` are what the groups of the expression matched.
    pub fn rewritten(&self, path: &str) -> Option<String> {
        let target = self.route.options.rewrite.as_deref()?;
        let groups = self.regex.and_then(|regex| regex.captures(path));
        let mut new = String::with_capacity(target.len() + path.len());
        let mut rest = target;
        while let Some(at) = rest.find('$') {
            new.push_str(&rest[..at]);
            let number = rest[at + 1..].chars().next().and_then(|c| c.to_digit(10));
            match number {
                Some(number) => {
                    let group = groups.as_ref().and_then(|groups| groups.get(number as usize));
                    new.extend(utf8_percent_encode(group.map_or("", |group| group.as_str()), MATCHED));
                    rest = &rest[at + 2..];
                }
                None => {
                    new.push('$');
                    rest = &rest[at + 1..];
                }
            }
        }
        new.push_str(rest);
        Some(new)
    }
}

/// All hosts.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub(crate) hosts: imbl::HashMap<Box<str>, Arc<Vhost>>,
}

impl Routes {
    /// Sets a host, or takes it away.
    pub fn set(&mut self, host: &str, vhost: Option<Arc<Vhost>>) {
        match vhost {
            Some(vhost) => drop(self.hosts.insert(host.into(), vhost)),
            None => drop(self.hosts.remove(host)),
        }
    }
    /// Where a request leads. The host is in lower case and without port, the path is normalized.
    pub fn find(&self, host: &str, path: &str) -> Option<Found<'_>> {
        let own = self.of(host);
        let found = own.and_then(|vhost| vhost.find(path));
        found.or_else(|| {
            let route = self.hosts.get("")?.fallback.as_ref()?;
            Some(Found { route, regex: None, has_tls: own.is_some_and(|vhost| vhost.has_tls) })
        })
    }
    fn of(&self, host: &str) -> Option<&Arc<Vhost>> {
        let has_paths = |vhost: &&Arc<Vhost>| !vhost.has_no_paths();
        look_up(host, |name| self.hosts.get(name).filter(has_paths)).or_else(|| self.hosts.get(""))
    }
}

impl Vhost {
    /// A host that is only named with a certificate does not hide the routes of a wider one.
    fn has_no_paths(&self) -> bool {
        self.exact.is_empty()
            && self.prefixes.is_empty()
            && self.patterns.is_empty()
            && self.fallback.is_none()
    }
}

/// What `find` has for a host, or else for `*.` and all but its first part.
pub(crate) fn look_up<'a, T>(host: &str, find: impl Fn(&str) -> Option<&'a T>) -> Option<&'a T> {
    find(host).or_else(|| {
        let (_, domain) = host.split_once('.')?;
        find(&format!("*.{domain}"))
    })
}
