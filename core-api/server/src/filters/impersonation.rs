//! Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid`, `-Extra-*`.
//!
//! Each thing that is taken on is authorized for the real user. Upstream: apiserver
//! `pkg/endpoints/filters/impersonation/impersonation.go`.

use super::authz;
use crate::api::{Request, Server};
use http::{HeaderMap, HeaderName};
use proa_meta::{ApiError, ApiResult, User, identity};
use proa_registry::Attributes;
use std::sync::Arc;

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const EXTRA: &str = "impersonate-extra-";

/// One thing that is taken on.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    ServiceAccount { namespace: String, name: String },
    User(String),
    Group(String),
    Uid(String),
    Extra { key: String, value: String },
}

pub(super) async fn apply(server: &Server, request: &mut Request, user: Arc<User>) -> ApiResult<Arc<User>> {
    let parts = requested(&request.headers)?;
    if parts.is_empty() {
        return Ok(user);
    }
    for part in &parts {
        authz::decide(server, &question(part, &user)).await?;
    }
    remove_headers(&mut request.headers);
    Ok(Arc::new(become_user(parts)))
}

fn requested(headers: &HeaderMap) -> ApiResult<Vec<Part>> {
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    let name = text(headers, &USER);
    if let Some(name) = &name {
        parts.push(match service_account(name) {
            Some((namespace, name)) => {
                Part::ServiceAccount { namespace: namespace.into(), name: name.into() }
            }
            None => Part::User(name.clone()),
        });
    }
    let groups = headers.get_all(&GROUP).iter().filter_map(|v| v.to_str().ok());
    parts.extend(groups.map(|group| Part::Group(group.to_owned())));
    for (header, value) in headers {
        if let (Some(key), Ok(value)) = (header.as_str().strip_prefix(EXTRA), value.to_str()) {
            let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
            parts.push(Part::Extra { key, value: value.to_owned() });
        }
    }
    parts.extend(text(headers, &UID).map(Part::Uid));
    if name.is_none() && !parts.is_empty() {
        return Err(ApiError::bad_request(format!("requested {parts:?} without impersonating a user")));
    }
    Ok(parts)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty()).map(str::to_owned)
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

fn question(part: &Part, user: &Arc<User>) -> Attributes {
    let (group, resource, subresource, namespace, name) = match part {
        Part::ServiceAccount { namespace, name } => ("", "serviceaccounts", "", namespace.as_str(), name),
        Part::User(name) => ("", "users", "", "", name),
        Part::Group(name) => ("", "groups", "", "", name),
        Part::Uid(uid) => ("authentication.k8s.io", "uids", "", "", uid),
        Part::Extra { key, value } => ("authentication.k8s.io", "userextras", key.as_str(), "", value),
    };
    let version = if group.is_empty() { "" } else { "v1" };
    Attributes {
        user: Arc::clone(user),
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.clone(),
        is_resource: true,
        ..Attributes::default()
    }
}

fn become_user(parts: Vec<Part>) -> User {
    let mut user = User::default();
    let groups_given = parts.iter().any(|p| matches!(p, Part::Group(_)));
    for part in parts {
        match part {
            Part::ServiceAccount { namespace, name } => {
                user.name = format!("system:serviceaccount:{namespace}:{name}");
                if !groups_given {
                    let own = format!("{}:{namespace}", identity::SERVICE_ACCOUNTS);
                    user.groups.extend([identity::SERVICE_ACCOUNTS.to_owned(), own]);
                }
            }
            Part::User(name) => user.name = name,
            Part::Group(group) => user.groups.push(group),
            Part::Uid(uid) => user.uid = uid,
            Part::Extra { key, value } => user.extra.entry(key).or_default().push(value),
        }
    }
    let known = user.in_group(identity::UNAUTHENTICATED);
    if user.name == identity::ANONYMOUS {
        user.groups.extend((!known).then(|| identity::UNAUTHENTICATED.to_owned()));
    } else if !known && !user.in_group(identity::AUTHENTICATED) {
        user.groups.push(identity::AUTHENTICATED.to_owned());
    }
    user
}

fn remove_headers(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn users_groups_and_extras_are_taken_on() {
        let given = headers(&[
            ("impersonate-user", "jane"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
            ("impersonate-uid", "u1"),
            ("impersonate-extra-acme.com%2fproject", "p"),
        ]);
        let user = become_user(requested(&given).unwrap());
        assert_eq!(user.name, "jane");
        assert_eq!(user.groups, ["a", "b", "system:authenticated"]);
        assert_eq!(user.uid, "u1");
        assert_eq!(user.extra["acme.com/project"], ["p"]);
    }

    #[test]
    fn service_accounts_bring_their_groups() {
        let user =
            become_user(requested(&headers(&[("impersonate-user", "system:serviceaccount:ns:sa")])).unwrap());
        assert_eq!(
            user.groups,
            ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
        );
        let user = become_user(requested(&headers(&[("impersonate-user", "system:anonymous")])).unwrap());
        assert_eq!(user.groups, ["system:unauthenticated"]);
    }

    #[test]
    fn groups_alone_are_refused() {
        assert_eq!(requested(&headers(&[("impersonate-group", "a")])).unwrap_err().code(), 400);
        assert!(requested(&HeaderMap::new()).unwrap().is_empty());
    }
}
