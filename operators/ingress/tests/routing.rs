//! Golden routing tables: ingresses in, where requests go out. A case reads like what a user applies and tries.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use proa_kit::{
    Change, View,
    project::Dirty,
    testing::golden::{self, Case},
    views::{EndpointSliceView, IngressClassView, ServiceView},
};
use proa_operator_ingress::{
    index::{
        Index, Subject,
        views::{IngressView, TlsSecretView},
    },
    render::{render, routes::Routes},
    status::{self, address, address::Announcer},
    {PortState, node_rules, rules},
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Serialize)]
struct Outcome {
    /// Host -> path -> where.
    hosts: BTreeMap<String, BTreeMap<String, String>>,
    /// Hosts with TLS, and whether they have a certificate.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tls: BTreeMap<String, &'static str>,
    /// `host/path` -> where, with the path that the backend is sent if it is another one.
    requests: BTreeMap<String, String>,
    /// Service and port -> addresses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    endpoints: BTreeMap<String, Vec<String>>,
}

fn take<V: View>(case: &Case, part: &str, mut take: impl FnMut(&Change<V>)) {
    for object in case.observed::<Vec<Value>>(part) {
        let view: V = serde_json::from_str(&object.to_string()).unwrap();
        take(&Change { old: None, new: Some(Arc::new(view)) });
    }
}

/// The index of a case; objects come in the order that is the hardest: what names others first.
fn index(case: &Case, dirty: &mut Dirty<Subject>) -> Index {
    let mut index = Index::default();
    take(case, "ingresses", |change: &Change<IngressView>| index.ingress(change, dirty));
    take(case, "slices", |change: &Change<EndpointSliceView>| index.slice(change, dirty));
    take(case, "services", |change: &Change<ServiceView>| index.service(change, dirty));
    take(case, "secrets", |change: &Change<TlsSecretView>| index.secret(change, dirty));
    take(case, "classes", |change: &Change<IngressClassView>| index.class(change, dirty));
    index
}

fn outcome(case: &Case) -> Outcome {
    let index = index(case, &mut Dirty::All);
    let change = render(&index, &Dirty::All);
    let (mut routes, mut hosts, mut tls) = (Routes::default(), BTreeMap::new(), BTreeMap::new());
    for (host, vhost) in change.hosts {
        let Some(vhost) = vhost else { continue };
        let name = if host.is_empty() { "(any)".to_owned() } else { host.to_string() };
        if vhost.has_tls() {
            tls.insert(
                name.clone(),
                if vhost.certificate().is_some() { "own certificate" } else { "default certificate" },
            );
        }
        hosts.insert(name, vhost.describe());
        routes.set(&host, Some(vhost));
    }
    let requests: Vec<String> = serde_json::from_value(case.object["requests"].clone()).unwrap();
    let requests = requests.into_iter().map(|request| {
        let at = request.find('/').unwrap();
        let (host, path) = request.split_at(at);
        let led = match routes.find(host, path) {
            None => "404".to_owned(),
            Some(found) => match found.rewritten(path) {
                Some(new) => format!("{} as {new}", found.route),
                None => found.route.to_string(),
            },
        };
        (request, led)
    });
    let mut endpoints = BTreeMap::new();
    for (service, ports) in change.services {
        for (port, addresses) in ports {
            let addresses = addresses.iter().map(ToString::to_string).collect();
            endpoints.insert(format!("{service}:{port}"), addresses);
        }
    }
    Outcome { hosts, tls, requests: requests.collect(), endpoints }
}

#[test]
fn requests_go_where_the_golden_cases_say() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/routes", outcome);
}

#[test]
fn problems_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/problems", |case| {
        let observed = status::Observed {
            classes: case.observed::<Vec<IngressClassView>>("classes").into_iter().map(Arc::new).collect(),
            others: case.observed::<Vec<IngressView>>("others").into_iter().map(Arc::new).collect(),
            services: case
                .observed::<Vec<ServiceView>>("services")
                .into_iter()
                .map(|service| (service.metadata.name.clone(), Arc::new(service)))
                .collect(),
            secrets: case
                .observed::<Vec<TlsSecretView>>("secrets")
                .into_iter()
                .map(|secret| (secret.metadata.name.clone(), Arc::new(secret)))
                .collect(),
        };
        status::plan(&case.object(), &observed)
    });
}

#[test]
fn addresses_match_the_golden_cases() {
    golden::run(env!("CARGO_MANIFEST_DIR"), "tests/golden/addresses", |case| {
        let port = |name: &str, number| match case.observed.get(name).and_then(Value::as_str) {
            Some(why) => PortState::Failed(why.into()),
            None => PortState::Open(([0, 0, 0, 0], number).into()),
        };
        let announcer = Announcer {
            node: "n1".into(),
            address: [192, 0, 2, 1].into(),
            ports: [port("http", 80), port("https", 443)],
        };
        let observed = address::Observed {
            classes: case.observed::<Vec<IngressClassView>>("classes").into_iter().map(Arc::new).collect(),
            nodes: case.observed("nodes"),
        };
        address::plan(&announcer, &case.object(), &observed)
    });
}

/// What one change after the other makes is what all of them at once make.
#[test]
fn changes_mark_all_that_they_concern() {
    let object = |name: &str, host: &str, service: &str| -> Arc<IngressView> {
        let text = format!(
            r#"{{"metadata":{{"name":"{name}","namespace":"d","annotations":{{"kubernetes.io/ingress.class":"proa"}}}},
            "spec":{{"rules":[{{"host":"{host}","http":{{"paths":[{{"path":"/","pathType":"Prefix",
            "backend":{{"service":{{"name":"{service}","port":{{"number":80}}}}}}}}]}}}}]}}}}"#
        );
        Arc::new(serde_json::from_str(&text).unwrap())
    };
    let class: IngressClassView =
        serde_json::from_str(r#"{"metadata":{"name":"proa"},"spec":{"controller":"proa.dev/ingress"}}"#)
            .unwrap();
    let mut index = Index::default();
    let mut dirty = Dirty::Keys(Default::default());
    index.class(&Change { old: None, new: Some(Arc::new(class)) }, &mut dirty);
    let (first, second) = (object("a", "one.example", "one"), object("a", "two.example", "two"));
    let mut dirty = Dirty::Keys(Default::default());
    index.ingress(&Change { old: None, new: Some(first.clone()) }, &mut dirty);
    index.ingress(&Change { old: Some(first), new: Some(second) }, &mut dirty);
    let change = render(&index, &dirty);
    assert!(change.serves);
    let hosts: BTreeMap<_, _> = change.hosts.iter().map(|(host, vhost)| (&**host, vhost.is_some())).collect();
    assert_eq!(hosts, BTreeMap::from([("one.example", false), ("two.example", true)]));
    let services: BTreeMap<_, _> =
        change.services.iter().map(|(key, ports)| (key.name(), ports.len())).collect();
    assert_eq!(services, BTreeMap::from([("one", 0), ("two", 1)]));
    // Services that no ingress names mark nothing.
    let mut dirty = Dirty::Keys(Default::default());
    let other: ServiceView = serde_json::from_str(r#"{"metadata":{"name":"one","namespace":"d"}}"#).unwrap();
    index.service(&Change { old: None, new: Some(Arc::new(other)) }, &mut dirty);
    assert!(dirty.is_empty());
}

#[test]
fn rules_name_what_is_watched_and_written() {
    let (node, once) = (node_rules().to_string(), rules().to_string());
    for rule in [
        r#""resources":["ingresses/status"],"verbs":["patch"]"#,
        r#""resources":["secrets"],"verbs":["get","list","watch"]"#,
    ] {
        assert!(node.contains(rule), "{node}");
    }
    assert!(
        once.contains(r#""resources":["ingressclasses"],"verbs":["create","get","list","watch"]"#),
        "{once}"
    );
    assert!(!once.contains("ingresses/status"), "{once}");
}
