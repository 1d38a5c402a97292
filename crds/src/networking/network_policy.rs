//! networking.k8s.io/v1 NetworkPolicy: kept for whoever enforces it, which Proa's nodes do not. Who writes one is warned.
//!
//! Upstream: `pkg/registry/networking/networkpolicy/strategy.go`,
//! `pkg/apis/networking/{v1/defaults,validation/validation}.go`.

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, items, sub, zero},
    network, selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};

/// Rules and the field of their peers.
const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
const TYPES: [&str; 2] = ["Ingress", "Egress"];
const NOT_ENFORCED: &str = "NetworkPolicies are stored, but Proa's nodes do not enforce them";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("networking.k8s.io", "v1", "NetworkPolicy");
    let columns = [Column::name(), Column::text("Pod-Selector"), Column::age()];
    KindDef::namespaced(gvk, "networkpolicies", facts::schema("io.k8s.api.networking.v1.NetworkPolicy"))
        .short(&["netpol"])
        .with_table(&columns, |object, now: Timestamp| {
            vec![
                table::name(object),
                table::selector(&object["spec"]["podSelector"]),
                table::age(object, now),
            ]
        })
        .with_strategy(Strategy {
            default,
            validate_create: |object, errors| validate(object, &Value::Null, errors),
            validate_update: |object, old, errors| validate(object, &blocks(old), errors),
            warnings,
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    for (rules, _) in DIRECTIONS {
        for rule in items(spec, rules) {
            items(rule, "ports").for_each(|port| absent(port, "protocol", "TCP"));
        }
    }
    let sends = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
    zero(spec, "policyTypes", if sends { json!(TYPES) } else { json!(["Ingress"]) });
}

/// All networks of a policy: they may stay as they are written.
fn blocks(object: &Value) -> Value {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let mut found = Vec::new();
    each_block(&spec, &mut |block| {
        found.push(block.get("cidr").value().clone());
        found.extend(block.get("except").list().iter().cloned());
    });
    Value::Array(found)
}

fn each_block(spec: &Cursor<'_, '_>, found: &mut dyn FnMut(&Cursor<'_, '_>)) {
    for (rules, peers) in DIRECTIONS {
        for rule in spec.get(rules).items() {
            for peer in rule.get(peers).items() {
                if let Some(block) = peer.present("ipBlock") {
                    found(&block);
                }
            }
        }
    }
}

/// `kept` lists the networks that may stay as they are written.
fn validate(object: &Value, kept: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    selector::validate(&spec.get("podSelector"), errors);
    for (rules, peers) in DIRECTIONS {
        for rule in spec.get(rules).items() {
            rule.get("ports").items().for_each(|port| validate_port(&port, errors));
            rule.get(peers).items().for_each(|peer| validate_peer(&peer, kept, errors));
        }
    }
    let types = spec.get("policyTypes");
    if types.list().len() > TYPES.len() {
        types.invalid(errors, "may not specify more than two policyTypes");
    } else {
        for one in types.items() {
            one.enumeration(errors, &TYPES);
        }
    }
    // Upstream declares it with the field, so it comes last.
    each_block(&spec, &mut |block| {
        block.get("cidr").must_be_set(errors);
    });
}

fn validate_port(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("protocol").opt_one_of(errors, &PROTOCOLS);
    let (port, end) = (at.get("port"), at.get("endPort"));
    if let Some(number) = port.opt_int() {
        port.number(errors, names::is_valid_port_num);
        if end.is_set() && end.int() < number {
            end.invalid(errors, "must be greater than or equal to `port`");
        }
        end.number(errors, names::is_valid_port_num);
        return;
    }
    if end.is_set() {
        let state = if port.is_set() { "non-numeric" } else { "not specified" };
        end.invalid(errors, &format!("may not be specified when `port` is {state}"));
    }
    if port.is_set() {
        port.named(errors, names::is_valid_port_name);
    }
}

fn validate_peer(at: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) {
    let selectors = ["podSelector", "namespaceSelector"];
    let mut count = 0;
    for own in selectors.iter().filter_map(|field| at.present(field)) {
        count += 1;
        selector::validate(&own, errors);
    }
    if let Some(block) = at.present("ipBlock") {
        validate_block(&block, kept, errors);
        if count > 0 {
            at.forbidden(errors, "may not specify both ipBlock and another peer");
        }
    } else if count == 0 {
        at.required(errors, "must specify a peer");
    }
}

fn validate_block(at: &Cursor<'_, '_>, kept: &Value, errors: &mut FieldErrors) {
    let cidr = at.get("cidr");
    if cidr.is_empty() {
        return;
    }
    network::cidr(&cidr, kept, errors);
    let Some(all) = network::prefix(cidr.text()) else { return };
    for except in at.get("except").items() {
        network::cidr(&except, kept, errors);
        if network::prefix(except.text()).is_some_and(|part| !network::is_within(part, all)) {
            except.invalid(errors, "must be a strict subset of `cidr`");
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let mut found = Vec::new();
    each_block(&spec, &mut |block| {
        found.extend(network::cidr_warning(&block.get("cidr")));
        found.extend(block.get("except").items().filter_map(|except| network::cidr_warning(&except)));
    });
    found.push(NOT_ENFORCED.to_owned());
    found
}
