//! networking.k8s.io/v1 ServiceCIDR: networks that services get their addresses from, with `/status`.
//!
//! Upstream: `pkg/registry/networking/servicecidr/strategy.go`, `pkg/apis/networking/validation/validation.go`.

use crate::{
    cursor::{Cursor, IMMUTABLE},
    facts,
    fill::keep_metadata,
    network, table,
};
use proa_meta::{FieldErrors, GroupResource, Gvk};
use proa_registry::{
    claims::{Source, Space},
    kind::{Column, KindDef, Strategy},
};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("networking.k8s.io", "v1", "ServiceCIDR");
    KindDef::cluster(gvk, "servicecidrs", facts::schema("io.k8s.api.networking.v1.ServiceCIDR"))
        .with_status()
        .with_table(&[Column::name(), Column::text("CIDRs"), Column::age()], |object, now| {
            let cidrs = texts(&object["spec"]["cidrs"]).join(",").into();
            vec![table::name(object), cidrs, table::age(object, now)]
        })
        .with_strategy(Strategy {
            prepare_status: keep_metadata,
            validate_create: |object, errors| networks(&Cursor::root(object).get("spec"), errors),
            validate_update,
            ..Strategy::default()
        })
}

/// Where services get their addresses from: the networks of all ServiceCIDRs, but for those that have an IPAddress.
pub fn service_addresses() -> Source {
    const GROUP: &str = "networking.k8s.io";
    Source::Listed {
        ranges: GroupResource::new(GROUP, "servicecidrs"),
        read: given,
        records: GroupResource::new(GROUP, "ipaddresses"),
    }
}

/// The networks that give addresses by now: not when the object is being deleted or said not to be ready. One that
/// nobody has judged yet does. IPv4 only, as services.
fn given(object: &Value) -> Vec<Space> {
    let is_ready = !matches!(table::condition(object, "Ready"), "False" | "Unknown");
    if !is_ready || object["metadata"]["deletionTimestamp"].is_string() {
        return Vec::new();
    }
    texts(&object["spec"]["cidrs"]).into_iter().filter_map(Space::network).collect()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// One network, or one of each family.
fn networks(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let list = spec.get("cidrs");
    match list.list().len() {
        0 => return list.required(errors, "at least one CIDR required"),
        1 | 2 => {}
        _ => return errors.invalid(list.path(), spec.value(), "may only hold up to 2 values"),
    }
    list.items().for_each(|cidr| network::strict_cidr(&cidr, errors));
    if let [first, second] = texts(list.value())[..]
        && network::is_cidr(first)
        && network::is_cidr(second)
        && first.contains(':') == second.contains(':')
    {
        list.invalid(
            errors,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        );
    }
}

/// A network of the other family may be added, once.
fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let spec = root.get("spec");
    let list = spec.get("cidrs");
    let before = texts(&old["spec"]["cidrs"]);
    let now = texts(list.value());
    match (before.len(), now.len()) {
        (then, now) if then == now || (then, now) == (1, 2) => {
            for (cidr, _) in list.items().zip(&before).filter(|(cidr, before)| cidr.text() != **before) {
                cidr.invalid(errors, IMMUTABLE);
            }
            if then != now {
                networks(&spec, errors);
            }
        }
        _ => errors.invalid(list.path(), list.value(), IMMUTABLE),
    }
}
