//! Fields of a pod as text, for the environment and for `downwardAPI` volumes.
//!
//! Pure. Upstream: `pkg/fieldpath/fieldpath.go`, `pkg/kubelet/kubelet_pods.go` (`podFieldSelectorRuntimeValue`).

use super::Surroundings;
use crate::build::{name, namespace, uid};
use k8s_openapi::api::core::v1::Pod;
use std::{collections::BTreeMap, fmt::Write as _, net::IpAddr};

/// The value of a field.
pub(crate) fn of_pod(pod: &Pod, path: &str, around: Surroundings<'_>) -> Result<String, String> {
    let first = |addresses: &[IpAddr]| addresses.first().map(ToString::to_string).unwrap_or_default();
    let all = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let spec = pod.spec.as_ref();
    let text = |field: Option<&String>| field.cloned().unwrap_or_default();
    Ok(match path {
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" => first(&around.facts.addresses),
        "status.hostIPs" => all(&around.facts.addresses),
        "status.podIP" => first(around.pod_ips),
        "status.podIPs" => all(around.pod_ips),
        _ => return of_metadata(pod, path),
    })
}

fn of_metadata(pod: &Pod, path: &str) -> Result<String, String> {
    let labels = pod.metadata.labels.as_ref();
    let annotations = pod.metadata.annotations.as_ref();
    let one = |pairs: Option<&BTreeMap<String, String>>, key: &str| {
        pairs.and_then(|pairs| pairs.get(key)).cloned().unwrap_or_default()
    };
    Ok(match path {
        "metadata.name" => name(pod).to_owned(),
        "metadata.namespace" => namespace(pod).to_owned(),
        "metadata.uid" => uid(pod).to_owned(),
        "metadata.labels" => listed(labels),
        "metadata.annotations" => listed(annotations),
        _ => match subscript(path) {
            Some(("metadata.labels", key)) => one(labels, key),
            Some(("metadata.annotations", key)) => one(annotations, key),
            _ => return Err(format!("unsupported fieldPath: {path}")),
        },
    })
}

/// `metadata.labels['key']` into its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (field, rest) = path.split_once("['")?;
    Some((field, rest.strip_suffix("']")?))
}

/// One pair a line, sorted, values quoted.
fn listed(pairs: Option<&BTreeMap<String, String>>) -> String {
    let lines = pairs.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A text as Go's `%q` writes it, which is what readers of these files expect.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c => drop(match u32::from(c) {
                // Writing to a String cannot fail.
                code @ ..0x80 => write!(out, "\\x{code:02x}"),
                code @ 0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                code => write!(out, "\\U{code:08x}"),
            }),
        }
    }
    out.push('"');
    out
}

fn is_printable(c: char) -> bool {
    // A combining mark is escaped at the start of a text only, hence the letter before it.
    c == '\'' || format!("x{c}").escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{build::NodeFacts, volumes::Mounted};
    use serde_json::json;

    #[test]
    fn fields_of_a_pod() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", "labels": {"b": "2", "a": "x\"y\n"},
                         "annotations": {"k/e.y": "v"}},
            "spec": {"nodeName": "n1", "serviceAccountName": "sa", "containers": []},
        }))
        .unwrap();
        let facts = NodeFacts { addresses: vec![[192, 0, 2, 1].into()], ..NodeFacts::default() };
        let ips = [[10, 0, 0, 1].into(), "fd00::1".parse().unwrap()];
        let around = Surroundings { pod_ips: &ips, facts: &facts, volumes: &Mounted::default() };
        for (path, want) in [
            ("metadata.name", "web-0"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "u"),
            ("metadata.labels", "a=\"x\\\"y\\n\"\nb=\"2\""),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['k/e.y']", "v"),
            ("spec.nodeName", "n1"),
            ("spec.serviceAccountName", "sa"),
            ("status.hostIP", "192.0.2.1"),
            ("status.hostIPs", "192.0.2.1"),
            ("status.podIP", "10.0.0.1"),
            ("status.podIPs", "10.0.0.1,fd00::1"),
        ] {
            assert_eq!(of_pod(&pod, path, around).unwrap(), want, "{path}");
        }
        assert_eq!(of_pod(&pod, "status.phase", around).unwrap_err(), "unsupported fieldPath: status.phase");
    }

    #[test]
    fn quoting_is_that_of_go() {
        for (text, want) in [
            ("it's", "\"it's\""),
            ("é世\u{301}", "\"é世\u{301}\""),
            ("\u{0}\u{7f}", "\"\\x00\\x7f\""),
            ("\u{a0}\u{200b}", "\"\\u00a0\\u200b\""),
            ("\u{e0001}", "\"\\U000e0001\""),
            ("a\\b\t", "\"a\\\\b\\t\""),
        ] {
            assert_eq!(quoted(text), want);
        }
    }
}
