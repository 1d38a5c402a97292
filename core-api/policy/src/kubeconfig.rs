//! Kubeconfig files that say how this server reaches a webhook.
//!
//! Pure but for the files that one names, which `read` reads, once. What is not honoured is refused.
//! Upstream: client-go `tools/clientcmd`, apiserver `pkg/util/webhook`.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
pub use proa_registry::webhook::WebhookClient;
use proa_registry::webhook::{Access, WebhookPlace};
use serde_json::Value;
use std::{io, sync::Arc};

/// Reads a file, whose path may be relative to the kubeconfig's folder.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> io::Result<Vec<u8>>;

const UNSUPPORTED_OF_CLUSTER: [&str; 2] = ["proxy-url", "disable-compression"];
const UNSUPPORTED_OF_USER: [&str; 6] =
    ["exec", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra"];

/// The client of a kubeconfig's current context.
///
/// # Errors
/// What is wrong with it, by field.
pub fn client(text: &[u8], read: ReadFile<'_>) -> Result<WebhookClient, String> {
    let parsed = proa_schema::json::parse_yaml(text).map_err(|error| error.to_string())?;
    let config = &parsed.value;
    let current = config["current-context"].as_str().filter(|name| !name.is_empty());
    let context = match (current, config["contexts"].as_array().map(Vec::as_slice)) {
        (Some(name), _) => named(config, "contexts", "context", name)?,
        // The examples of webhooks' documentation have one context that is not the current one.
        (None, Some([only])) => &only["context"],
        (None, _) => return Err("current-context: required".to_owned()),
    };
    let cluster = named(config, "clusters", "cluster", text_of(context, "cluster"))?;
    let none = Value::Null;
    let user = match text_of(context, "user") {
        "" => &none,
        name => named(config, "users", "user", name)?,
    };
    refuse(cluster, "cluster", &UNSUPPORTED_OF_CLUSTER)?;
    refuse(user, "user", &UNSUPPORTED_OF_USER)?;
    let server = text_of(cluster, "server");
    if !server.starts_with("https://") || server.parse::<Uri>().is_err() {
        return Err(format!("cluster.server: {server:?} is no https URL"));
    }
    let ca_bundle: Bytes = content(cluster, "cluster", "certificate-authority", read)?.into();
    if !ca_bundle.is_empty() && cluster["insecure-skip-tls-verify"] == true {
        return Err("cluster.certificate-authority: not allowed with insecure-skip-tls-verify".to_owned());
    }
    Ok(WebhookClient {
        place: WebhookPlace::Url(server.to_owned()),
        ca_bundle,
        access: Some(Arc::new(access(cluster, user, read)?)),
    })
}

/// A URL, as far as it has to be looked at.
struct Uri;

impl std::str::FromStr for Uri {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_plain = !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace);
        if is_plain { Ok(Self) } else { Err(()) }
    }
}

fn access(cluster: &Value, user: &Value, read: ReadFile<'_>) -> Result<Access, String> {
    let pem = |name: &str| {
        let bytes = content(user, "user", name, read)?;
        String::from_utf8(bytes).map_err(|_| format!("user.{name}: it is no PEM"))
    };
    let certificate = match (pem("client-certificate")?, pem("client-key")?) {
        (certificate, key) if certificate.is_empty() && key.is_empty() => None,
        (certificate, key) if !certificate.is_empty() && !key.is_empty() => Some((certificate, key)),
        _ => return Err("user.client-certificate and user.client-key go together".to_owned()),
    };
    let token = match text_of(user, "tokenFile") {
        "" => text_of(user, "token").to_owned(),
        path => {
            let bytes = read(path).map_err(|error| format!("user.tokenFile: {path}: {error}"))?;
            String::from_utf8_lossy(&bytes).trim().to_owned()
        }
    };
    let (name, password) = (text_of(user, "username"), text_of(user, "password"));
    let authorization = match (token.is_empty(), name.is_empty() && password.is_empty()) {
        (false, false) => {
            return Err("user: more than one way to authenticate: token and username".to_owned());
        }
        (false, true) => format!("Bearer {token}"),
        (true, false) => format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}"))),
        (true, true) => String::new(),
    };
    if authorization.contains(|c: char| c.is_control()) {
        return Err("user.token: it has control characters".to_owned());
    }
    Ok(Access {
        authorization,
        certificate,
        server_name: text_of(cluster, "tls-server-name").to_owned(),
        is_unverified: cluster["insecure-skip-tls-verify"] == true,
    })
}

/// Data in base64, or those of the file.
fn content(of: &Value, what: &str, name: &str, read: ReadFile<'_>) -> Result<Vec<u8>, String> {
    let inline = format!("{name}-data");
    match (text_of(of, &inline), text_of(of, name)) {
        ("", "") => Ok(Vec::new()),
        ("", path) => read(path).map_err(|error| format!("{what}.{name}: {path}: {error}")),
        (data, _) => BASE64_STANDARD.decode(data).map_err(|_| format!("{what}.{inline}: it is not base64")),
    }
}

fn text_of<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or_default()
}

fn named<'a>(config: &'a Value, list: &str, field: &str, name: &str) -> Result<&'a Value, String> {
    let all = config[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = all.iter().find(|one| one["name"] == name).map(|one| &one[field]);
    found.ok_or_else(|| format!("{list}: there is no {name:?}"))
}

fn refuse(of: &Value, what: &str, names: &[&str]) -> Result<(), String> {
    match names.iter().find(|name| !of[**name].is_null()) {
        Some(name) => Err(format!("{what}.{name}: not supported")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
current-context: hook
contexts: [{name: hook, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: 'https://h.example/authorize?a=b', certificate-authority: ca.pem, tls-server-name: inner}}]
users: [{name: u, user: {tokenFile: token}}]
";

    fn of(text: &str) -> Result<WebhookClient, String> {
        client(text.as_bytes(), &|path| match path {
            "ca.pem" => Ok(b"PEM".to_vec()),
            "token" => Ok(b"secret\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    #[test]
    fn kubeconfigs_are_read_with_their_files() {
        let found = of(CONFIG).unwrap();
        assert_eq!(found.place, WebhookPlace::Url("https://h.example/authorize?a=b".to_owned()));
        assert_eq!(&found.ca_bundle[..], b"PEM");
        let access = found.access.unwrap();
        assert_eq!((access.authorization.as_str(), access.server_name.as_str()), ("Bearer secret", "inner"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (want, from, to) in [
            ("clusters: there is no \"d\"", "cluster: c,", "cluster: d,"),
            ("cluster.server", "https:", "http:"),
            ("cluster.certificate-authority: gone.pem", "ca.pem", "gone.pem"),
            ("user.exec: not supported", "tokenFile: token", "exec: {command: x}"),
            ("client-key go together", "tokenFile: token", "client-certificate: ca.pem"),
            ("more than one way", "tokenFile: token", "token: t, username: u"),
        ] {
            let error = of(&CONFIG.replace(from, to)).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
