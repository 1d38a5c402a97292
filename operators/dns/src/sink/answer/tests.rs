//! Golden tables: objects and what is answered about them.

use super::*;
use crate::{DnsConfig, index::Index, render};
use proa_kit::{
    Change, View,
    project::Dirty,
    views::{EndpointSliceView, NamespaceView, ServiceView},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Objects, and questions (`name type`) with the lines of their replies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default)]
    services: Vec<Value>,
    #[serde(default)]
    slices: Vec<Value>,
    replies: BTreeMap<String, Vec<String>>,
}

fn view<V: DeserializeOwned + View>(value: &Value) -> Change<V> {
    // Views borrow from text.
    let view = serde_json::from_str(&value.to_string()).unwrap();
    Change { old: None, new: Some(Arc::new(view)) }
}

fn index(case: &Case) -> Index {
    let (mut index, mut dirty) = (Index::default(), Dirty::All);
    for name in &case.namespaces {
        let namespace = serde_json::json!({"metadata": {"name": name}});
        index.namespace(&view::<NamespaceView>(&namespace), &mut dirty);
    }
    case.services.iter().for_each(|service| index.service(&view::<ServiceView>(service), &mut dirty));
    case.slices.iter().for_each(|slice| index.slice(&view::<EndpointSliceView>(slice), &mut dirty));
    index
}

fn zone() -> Zone {
    Zone::new(&DnsConfig::new("n", vec!["127.0.0.1:53".parse().unwrap()])).unwrap()
}

fn ask(zone: &Zone, table: Option<&Table>, question: &str, turn: usize) -> Lookup {
    let (name, kind) = question.split_once(' ').unwrap();
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    look_up(zone, table, (&LowerName::new(&name), &name, kind.parse().unwrap()), turn)
}

/// A reply as lines: the code unless all is well, then records with the section unless they are answers.
fn lines(lookup: Lookup) -> Vec<String> {
    let (reply, more) = match lookup {
        Lookup::Elsewhere => return vec!["forwarded".to_owned()],
        Lookup::Ready(reply) => (reply, None),
        Lookup::Follow(reply, name) => (reply, Some(format!("followed: {name}"))),
    };
    let code = (reply.code != ResponseCode::NoError).then(|| format!("{:?}", reply.code));
    let section = |name: &'static str, records: Vec<Record>| {
        records.into_iter().map(move |record| format!("{name}{record}"))
    };
    code.into_iter()
        .chain(section("", reply.answers))
        .chain(section("authority: ", reply.authorities))
        .chain(section("additional: ", reply.additionals))
        .chain(more)
        .collect()
}

#[test]
fn replies_match_the_golden_tables() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/replies");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let case: Case = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let table = Table::after(None, render::change(&index(&case), &Dirty::All));
        for (question, expected) in &case.replies {
            let actual = lines(ask(&zone(), Some(&table), question, 0));
            if actual != *expected {
                wrong.push(format!("{}: {question}:\n  {}", file.display(), actual.join("\n  ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn before_the_first_table_nothing_is_denied() {
    for question in ["a.default.svc.cluster.local A", "1.0.96.10.in-addr.arpa PTR"] {
        assert_eq!(lines(ask(&zone(), None, question, 0)), ["ServFail"]);
    }
    assert_eq!(lines(ask(&zone(), None, "example.com A", 0)), ["forwarded"]);
}

fn headless(addresses: &[&str]) -> (Value, Value) {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|ip| serde_json::json!({"addresses": [ip], "hostname": ip.replace('.', "x")}))
        .collect();
    (
        serde_json::json!({"metadata": {"name": "db", "namespace": "ns"}, "spec": {"clusterIP": "None"}}),
        serde_json::json!({"metadata": {"name": "db-1", "namespace": "ns",
            "labels": {"kubernetes.io/service-name": "db"}}, "addressType": "IPv4", "endpoints": endpoints}),
    )
}

#[test]
fn addresses_take_turns() {
    let (service, slice) = headless(&["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
    let case = Case {
        namespaces: Vec::new(),
        services: vec![service],
        slices: vec![slice],
        replies: BTreeMap::new(),
    };
    let table = Table::after(None, render::change(&index(&case), &Dirty::All));
    let first = |turn| lines(ask(&zone(), Some(&table), "db.ns.svc.cluster.local A", turn))[0].clone();
    let firsts: Vec<String> = (0..4).map(first).collect();
    assert!(firsts[0] != firsts[1] && firsts[1] != firsts[2] && firsts[0] == firsts[3], "{firsts:?}");
}

#[test]
fn the_table_follows_each_change_and_forgets_what_is_gone() {
    let (mut index, mut table) = (Index::default(), Table::after(None, render::Change::default()));
    let (service, slice) = headless(&["10.244.0.1"]);
    let follow = |index: &Index, table: &mut Table, dirty: &Dirty<crate::index::Row>| {
        *table = Table::after(Some(table), render::change(index, dirty));
    };
    let dirty = || Dirty::Keys(std::collections::HashSet::new());
    let (mut marked, made) = (dirty(), view::<ServiceView>(&service));
    index.service(&made, &mut marked);
    follow(&index, &mut table, &marked);
    let answer = |table: &Table, question: &str| lines(ask(&zone(), Some(table), question, 0))[0].clone();
    assert_eq!(answer(&table, "db.ns.svc.cluster.local A"), "NXDomain");
    let (mut marked, sliced) = (dirty(), view::<EndpointSliceView>(&slice));
    index.slice(&sliced, &mut marked);
    follow(&index, &mut table, &marked);
    assert!(answer(&table, "db.ns.svc.cluster.local A").ends_with("A 10.244.0.1"));
    assert!(answer(&table, "1.0.244.10.in-addr.arpa PTR").ends_with("10x244x0x1.db.ns.svc.cluster.local."));
    let mut marked = dirty();
    index.slice(&Change { old: sliced.new, new: None }, &mut marked);
    follow(&index, &mut table, &marked);
    assert_eq!(answer(&table, "1.0.244.10.in-addr.arpa PTR"), "NXDomain");
    let mut marked = dirty();
    index.service(&Change { old: made.new, new: None }, &mut marked);
    follow(&index, &mut table, &marked);
    assert!(!table.has_namespace("ns") && table.service("ns", "db").is_none());
}

/// The goal is 200 µs at most; what this prints is for people (`cargo test -- --nocapture`).
#[test]
fn a_lookup_is_cheap() {
    let services = (0..1000).map(|n| {
        let ip = format!("10.96.{}.{}", n / 250 + 1, n % 250 + 1);
        serde_json::json!({"metadata": {"name": format!("web-{n}"), "namespace": "default"},
            "spec": {"clusterIP": ip, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}})
    });
    let case = Case {
        namespaces: vec!["default".to_owned()],
        services: services.collect(),
        slices: Vec::new(),
        replies: BTreeMap::new(),
    };
    let (zone, table) = (zone(), Table::after(None, render::change(&index(&case), &Dirty::All)));
    let start = std::time::Instant::now();
    for turn in 0..1000 {
        let found = lines(ask(&zone, Some(&table), &format!("web-{turn}.default.svc.cluster.local A"), turn));
        assert_eq!(found.len(), 1);
    }
    println!("{:?} for each lookup and its text", start.elapsed() / 1000);
}
