//! Front proxies: whoever has one of their certificates says in headers whom a request comes from.
//!
//! Invariants: only a connection whose certificate the front proxies' own authority has signed is believed, and only when
//! its name is allowed; the headers of every other connection count for nothing. Nobody behind authentication sees
//! them ([`RequestHeaders::remove`]). Upstream: apiserver `pkg/authentication/request/headerrequest`.

use super::Authenticator;
use crate::api::{Caller, Request};
use futures::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use proa_meta::{ApiError, ApiResult, User};
use std::sync::Arc;

/// Headers of every front proxy, which never reach a handler.
const STANDARD: &str = "x-remote-";

/// Which front proxies are believed, and in which headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeaders {
    /// Common names of their certificates; empty: any.
    pub allowed_names: Vec<String>,
    /// Headers that name the user, the first that is there counts.
    pub usernames: Vec<HeaderName>,
    /// Headers that name the user's uid, the first that is there counts.
    pub uids: Vec<HeaderName>,
    /// Headers of which each names a group.
    pub groups: Vec<HeaderName>,
    /// What headers of further attributes start with, in lower case.
    pub extra_prefixes: Vec<String>,
}

impl RequestHeaders {
    fn user(&self, headers: &HeaderMap) -> Option<User> {
        let first = |names: &[HeaderName]| names.iter().flat_map(|name| headers.get(name)).find_map(text);
        let mut user = User { name: first(&self.usernames)?, ..User::default() };
        user.uid = first(&self.uids).unwrap_or_default();
        user.groups = self.groups.iter().flat_map(|name| headers.get_all(name)).filter_map(text).collect();
        for prefix in &self.extra_prefixes {
            for (name, value) in headers {
                let Some(key) = name.as_str().strip_prefix(prefix.as_str()) else { continue };
                let decoded = percent_decode_str(key).decode_utf8();
                let key = decoded.map_or_else(|_| key.to_owned(), std::borrow::Cow::into_owned);
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                user.extra.entry(key).or_default().push(value);
            }
        }
        Some(user)
    }

    fn names(&self, name: &str) -> bool {
        let all = [&self.usernames, &self.uids, &self.groups];
        all.into_iter().flatten().any(|one| one.as_str() == name)
            || self.extra_prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Takes out what front proxies say, the standard headers and those that are configured.
    pub(crate) fn remove(own: Option<&Self>, headers: &mut HeaderMap) {
        let is_theirs = |name: &str| name.starts_with(STANDARD) || own.is_some_and(|own| own.names(name));
        let theirs: Vec<HeaderName> =
            headers.keys().filter(|name| is_theirs(name.as_str())).cloned().collect();
        for name in theirs {
            headers.remove(name);
        }
    }
}

fn text(value: &http::HeaderValue) -> Option<String> {
    (!value.is_empty()).then(|| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

impl Authenticator for RequestHeaders {
    fn authenticate<'a>(
        &'a self,
        request: &'a Request,
        now: Timestamp,
    ) -> BoxFuture<'a, ApiResult<Option<Arc<User>>>> {
        let Caller::Network(peer) = &request.caller else { return Box::pin(ready(Ok(None))) };
        Box::pin(ready(match peer.front_proxy() {
            None => Ok(None),
            Some(_) if peer.is_over(now) => Err(ApiError::unauthorized()),
            Some(name) if !self.allowed_names.is_empty() && !self.allowed_names.iter().any(|n| n == name) => {
                tracing::debug!(name, "front proxy is not in the allowed list");
                Err(ApiError::unauthorized())
            }
            Some(_) => Ok(self.user(&request.headers).map(|user| Arc::new(user.authenticated()))),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn users_stand_in_headers_and_leave_with_them() {
        let name = HeaderName::from_static;
        let own = RequestHeaders {
            usernames: vec![name("x-user"), name("x-remote-user")],
            uids: vec![name("x-remote-uid")],
            groups: vec![name("x-remote-group")],
            extra_prefixes: vec!["x-remote-extra-".to_owned(), "x-more-".to_owned()],
            ..RequestHeaders::default()
        };
        let mut headers = HeaderMap::new();
        for (key, value) in [
            ("x-user", ""),
            ("x-remote-user", "ann"),
            ("x-remote-uid", "7"),
            ("x-remote-group", "a"),
            ("x-remote-group", "b"),
            ("x-remote-extra-acme.com%2Fteam", "t"),
            ("x-more-scopes", "s"),
            ("accept", "*/*"),
        ] {
            headers.append(HeaderName::from_bytes(key.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let user = own.user(&headers).unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann", "7"));
        assert_eq!(user.groups, ["a", "b"]);
        let extra: Vec<_> = user.extra.iter().map(|(k, v)| format!("{k}={}", v.join(","))).collect();
        assert_eq!(extra, ["acme.com/team=t", "scopes=s"]);
        let mut standard = headers.clone();
        RequestHeaders::remove(None, &mut standard);
        assert_eq!(
            standard.keys().map(HeaderName::as_str).collect::<BTreeSet<_>>(),
            ["accept", "x-more-scopes", "x-user"].into()
        );
        RequestHeaders::remove(Some(&own), &mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
        assert_eq!(own.user(&headers), None);
    }
}
