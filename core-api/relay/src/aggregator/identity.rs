//! In whose name a request is passed on: headers that the other server believes because of the front proxy's
//! certificate.
//!
//! Pure. Upstream: client-go `transport/round_trippers.go` `SetAuthProxyHeaders`.

use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use proa_meta::User;

const USER: HeaderName = HeaderName::from_static("x-remote-user");
const UID: HeaderName = HeaderName::from_static("x-remote-uid");
const GROUP: HeaderName = HeaderName::from_static("x-remote-group");
const EXTRA: &str = "x-remote-extra-";

/// Adds the user, to headers that name none.
///
/// # Errors
/// A name cannot be sent in a header.
pub(super) fn add(headers: &mut HeaderMap, user: &User) -> Result<(), InvalidHeaderValue> {
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes());
    headers.insert(USER, value(&user.name)?);
    if !user.uid.is_empty() {
        headers.insert(UID, value(&user.uid)?);
    }
    for group in &user.groups {
        headers.append(GROUP, value(group)?);
    }
    for (key, values) in &user.extra {
        // Whatever is not allowed in a name has been escaped.
        let Ok(name) = HeaderName::from_bytes(format!("{EXTRA}{}", escaped(key)).as_bytes()) else {
            continue;
        };
        for text in values {
            headers.append(name.clone(), value(text)?);
        }
    }
    Ok(())
}

/// Bytes that names of headers cannot have, in hexadecimal.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_in_headers() {
        let mut user = User::new("system:serviceaccount:d:a", &["g1", "g2"]);
        user.uid = "u".to_owned();
        user.extra.insert("authentication.kubernetes.io/pod-name%".to_owned(), vec!["p".to_owned()]);
        let mut headers = HeaderMap::new();
        add(&mut headers, &user).unwrap();
        assert_eq!(headers["x-remote-user"], "system:serviceaccount:d:a");
        assert_eq!(headers["x-remote-uid"], "u");
        assert_eq!(headers.get_all("x-remote-group").iter().collect::<Vec<_>>(), ["g1", "g2"]);
        assert_eq!(headers["x-remote-extra-authentication.kubernetes.io%2fpod-name%25"], "p");
        assert!(add(&mut HeaderMap::new(), &User::new("a\nb", &[])).is_err());
    }
}
