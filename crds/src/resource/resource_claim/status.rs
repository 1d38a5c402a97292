//! What a claim was given, who uses it, and what drivers say of its devices.

use crate::{
    conditions,
    cursor::Cursor,
    fill::{is_empty, remove},
    network, pod_spec,
    resource::{
        claim_spec::{self, Requests},
        configuration, few, is_short, raw, taint, text,
    },
};
use proa_meta::{FieldError, FieldErrors, field::Problem, names};
use serde_json::Value;
use std::collections::BTreeSet;

const RESERVED_FOR: usize = 256;
const RESULTS: usize = 32;
const CONFIGURATIONS: usize = 64;
const CONDITIONS: usize = 8;
const DATA: usize = 10 << 10;
const ADDRESSES: usize = 16;

/// Names one device, or one share of it.
type Device<'v> = [&'v str; 4];

fn device(value: &Value) -> Device<'_> {
    ["driver", "pool", "device", "shareID"].map(|field| text(value, field))
}

fn allocated(object: &Value) -> BTreeSet<Device<'_>> {
    let results = &object["status"]["allocation"]["devices"]["results"];
    results.as_array().into_iter().flatten().map(device).collect()
}

/// Takes out what is said of devices that the claim gives back, and fields of features that are off.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    let kept = allocated(new);
    let gone: BTreeSet<[String; 4]> =
        allocated(old).difference(&kept).map(|device| device.map(str::to_owned)).collect();
    let Some(status) = new.get_mut("status") else { return };
    if let Some(devices) = status.get_mut("devices").and_then(Value::as_array_mut) {
        devices.retain(|one| !gone.contains(&device(one).map(str::to_owned)));
    }
    if is_empty(&status["devices"]) {
        remove(status, "devices");
    }
    let results = status.pointer_mut("/allocation/devices/results").and_then(Value::as_array_mut);
    for result in results.into_iter().flatten() {
        remove(result, "skipNodeOperations");
    }
}

/// Validates a change of the status.
pub(super) fn validate(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let (spec, status) = (root.get("spec"), root.get("status"));
    let (reserved, devices, allocation) =
        (status.get("reservedFor"), status.get("devices"), status.get("allocation"));
    for consumer in few(&reserved, RESERVED_FOR) {
        for field in ["resource", "name", "uid"] {
            consumer.get(field).must_be_set(errors);
        }
    }
    let known = allocated(new);
    devices.items().for_each(|one| validate_device(&one, &known, errors));
    if !reserved.is_empty() {
        let before = &old["status"]["reservedFor"];
        let is_new = |one: &Value| !before.as_array().is_some_and(|before| before.contains(one));
        if !allocation.is_set() {
            reserved.forbidden(errors, "may not be specified when `allocated` is not set");
        } else if new["metadata"]["deletionTimestamp"].is_string() && reserved.list().iter().any(is_new) {
            reserved.forbidden(
                errors,
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
            );
        }
    }
    if allocation.is_set() && !old["status"]["allocation"].is_object() {
        validate_allocation(&allocation, &Requests::of(&spec.value()["devices"]), errors);
    }
}

fn validate_device(at: &Cursor<'_, '_>, known: &BTreeSet<Device<'_>>, errors: &mut FieldErrors) {
    claim_spec::device(at, errors);
    let name = device(at.value());
    if !known.contains(&name) {
        let [driver, pool, device, share] = name.map(Value::from);
        let shown = format!(r#"{{"Driver":{driver},"Pool":{pool},"Device":{device},"ShareID":{share}}}"#);
        let text = format!("Invalid value: {shown}: must be an allocated device in the claim");
        errors.push(FieldError { problem: Problem::Invalid, field: at.path().to_string(), body: text });
    }
    let conditions = at.get("conditions");
    is_short(&conditions, CONDITIONS, errors);
    conditions::validate(&conditions, errors);
    if let Some(data) = at.present("data") {
        raw(&data, DATA, errors);
    }
    let network = at.get("networkData");
    few(&network.get("ips"), ADDRESSES).for_each(|address| network::interface_address(&address, errors));
}

fn validate_allocation(at: &Cursor<'_, '_>, requests: &Requests<'_>, errors: &mut FieldErrors) {
    let devices = at.get("devices");
    few(&devices.get("results"), RESULTS).for_each(|result| validate_result(&result, requests, errors));
    for one in few(&devices.get("config"), CONFIGURATIONS) {
        requests.references(&one.get("requests"), errors);
        configuration(&one, errors);
    }
    if let Some(selector) = at.present("nodeSelector") {
        pod_spec::validate::node_selector(&selector, errors);
    }
}

fn validate_result(at: &Cursor<'_, '_>, requests: &Requests<'_>, errors: &mut FieldErrors) {
    requests.reference(&at.get("request"), errors);
    at.get("device").named(errors, names::is_dns1123_label);
    taint::binding_conditions(at, errors);
    taint::tolerations(&at.get("tolerations"), errors);
}
