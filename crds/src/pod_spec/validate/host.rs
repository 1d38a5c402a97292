//! DNS, host names and the host's namespaces.

use crate::{cursor::Cursor, network, pod_spec::each_container};
use proa_meta::{FieldErrors, names};
use serde_json::Value;

/// `dnsConfig`.
pub(super) fn dns_config(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let config = spec.get("dnsConfig");
    let (servers, searches) = (config.get("nameservers"), config.get("searches"));
    if spec.text_of("dnsPolicy") == "None" {
        if !config.is_set() {
            return config.required(errors, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return servers.required(errors, text);
        }
    }
    if servers.list().len() > 3 {
        servers.invalid(errors, "must not have more than 3 nameservers");
    }
    servers.items().for_each(|server| {
        network::ip(&server, &Value::Null, errors);
    });
    dns_searches(&searches, errors);
    for option in config.get("options").items().filter(|option| option.text_of("name").is_empty()) {
        option.required(errors, "must not be empty");
    }
}

fn dns_searches(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if list.list().len() > 32 {
        list.invalid(errors, "must not have more than 32 search paths");
    }
    let length: usize = list.items().map(|search| search.text().len() + 1).sum();
    if length > 2049 {
        list.invalid(errors, "must not have more than 2048 characters (including spaces) in the search list");
    }
    for search in list.items().filter(|search| search.text() != ".") {
        let text = search.text();
        let trimmed = text.strip_suffix('.').unwrap_or(text).into();
        search.with(&trimmed).named(errors, names::is_dns1123_subdomain_with_underscore);
    }
}

/// `hostUsers: false` excludes the host's other namespaces.
pub(super) fn users(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const TEXT: &str = "when `hostUsers` is false";
    if spec.get("hostUsers").value() != false {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.get(field).is_true() {
            spec.get(shown).forbidden(errors, TEXT);
        }
    }
    each_container(spec, |container| {
        if !container.get("volumeDevices").is_empty() {
            container.get("volumeDevices").forbidden(errors, TEXT);
        }
    });
}

/// `hostnameOverride`.
pub(super) fn name_override(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(name) = spec.present("hostnameOverride") else { return };
    if spec.get("setHostnameAsFQDN").is_true() {
        name.forbidden(errors, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.get("hostNetwork").is_true() {
        name.forbidden(errors, "may not be specified when hostNetwork is true");
    }
    if name.text().len() > 64 {
        errors.too_long(name.path(), 64);
    }
    name.named(errors, names::is_dns1123_subdomain);
}
