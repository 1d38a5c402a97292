//! What holds for all patches and all sequences of writes.

use crate::{
    cluster::{Cluster, Step, content, entries, manager_of, owners, without_nulls},
    thing::schema,
};
use proa_schema::{apply::PathSet, patch};
use proptest::{collection, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Any JSON, rich in names that mean something.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..100_i64).prop_map(Value::from),
        Just(json!(1.5)),
        select(vec!["a", "b", "m", "replace", "delete", "merge", "type", "name", "TCP", ""])
            .prop_map(Value::from),
    ];
    let names = select(vec![
        "a",
        "name",
        "type",
        "metadata",
        "labels",
        "annotations",
        "finalizers",
        "managedFields",
        "spec",
        "status",
        "containers",
        "ports",
        "containerPort",
        "protocol",
        "raw",
        "selector",
        "strategy",
        "conditions",
        "args",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$setElementOrder/finalizers",
        "$deleteFromPrimitiveList/finalizers",
        "$deleteFromPrimitiveList",
        "f:spec",
        "k:{\"name\":\"a\"}",
        "k:{",
        ".",
        "fieldsV1",
        "operation",
        "apiVersion",
        "op",
        "path",
        "from",
        "value",
        "uid",
    ]);
    leaf.prop_recursive(5, 60, 5, move |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            collection::vec((names.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

/// A list of operations that mostly look like a JSON patch.
fn any_operations() -> impl Strategy<Value = Value> {
    let paths = || {
        select(vec![
            "",
            "/",
            "/a",
            "/a/0",
            "/a/-",
            "/a/-1",
            "/spec/name",
            "/metadata/labels/a",
            "a",
            "/a~1b",
            "/a/-99999999999999999999",
        ])
    };
    let ops = select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]);
    let operation =
        (ops, paths(), paths(), option::of(any_json())).prop_map(|(op, path, from, value)| match value {
            Some(value) => json!({"op": op, "path": path, "from": from, "value": value}),
            None => json!({"op": op, "path": path, "from": from}),
        });
    collection::vec(operation, 0..6).prop_map(Value::from)
}

fn texts(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let pairs = collection::btree_map(select(names.to_vec()), select(vec!["1", "2"]), 1..4);
    pairs.prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.into())).collect()))
}

fn optional(fields: Vec<(&'static str, BoxedStrategy<Value>)>) -> BoxedStrategy<Value> {
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| option::of(value).prop_map(move |value| Some((name.to_owned(), value?))))
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn nonempty(strategy: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    strategy.prop_filter("not empty", |value| value.as_object().is_some_and(|map| !map.is_empty())).boxed()
}

/// Elements with distinct keys, in any order.
fn keyed(key: &'static str, keys: Vec<Value>, fields: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let count = keys.len();
    let picked = Just(keys)
        .prop_shuffle()
        .prop_flat_map(move |keys| (1..=count).prop_map(move |n| keys[..n].to_vec()));
    (picked, collection::vec(fields, count))
        .prop_map(move |(keys, fields)| {
            let items = keys.into_iter().zip(fields).map(|(value, mut item)| {
                item[key] = value;
                item
            });
            Value::Array(items.collect())
        })
        .boxed()
}

/// A valid configuration without nulls and without empty objects or lists.
fn config() -> BoxedStrategy<Value> {
    let number = || (1..4_i64).prop_map(Value::from).boxed();
    let text = || select(vec!["x", "y"]).prop_map(Value::from).boxed();
    let ports =
        keyed("containerPort", vec![80.into(), 443.into(), 8080.into()], optional(vec![("name", text())]));
    let args = collection::vec(text(), 1..3).prop_map(Value::from).boxed();
    let containers = keyed(
        "name",
        vec!["a".into(), "b".into(), "c".into()],
        optional(vec![("image", text()), ("args", args), ("ports", ports)]),
    );
    let labels = texts(&["a", "b", "c"]).boxed();
    let finalizers = select(vec![json!(["f"]), json!(["f", "g"]), json!(["g", "h"])]).boxed();
    let rolling = nonempty(optional(vec![("maxSurge", number()), ("maxUnavailable", number())]));
    let strategy = nonempty(optional(vec![("type", text()), ("rollingUpdate", rolling)]));
    let selector = texts(&["a", "b"]).prop_map(|labels| json!({"matchLabels": labels})).boxed();
    let raw = texts(&["a", "b"]).prop_map(|raw| json!({"deep": raw})).boxed();
    let spec = nonempty(optional(vec![
        ("replicas", number()),
        ("selector", selector),
        ("strategy", strategy),
        ("containers", containers),
        ("raw", raw),
    ]));
    let metadata = nonempty(optional(vec![("labels", labels), ("finalizers", finalizers)]));
    optional(vec![("metadata", metadata), ("spec", spec)])
}

fn step() -> impl Strategy<Value = (u8, &'static str, Value)> {
    (0..3_u8, select(vec!["m1", "m2", "m3"]), config())
}

fn as_step((kind, manager, config): (u8, &'static str, Value), is_first: bool) -> Step {
    match (kind, is_first) {
        (0, true) => Step::Create(manager, config),
        (0, false) => Step::Update(manager, config),
        _ => Step::Force(manager, config),
    }
}

fn run(steps: Vec<(u8, &'static str, Value)>) -> Value {
    let steps = steps.into_iter().enumerate().map(|(i, step)| as_step(step, i == 0)).collect();
    Cluster::run(steps).unwrap()
}

/// Whether entries name every field of the object, as a fresh applier of the whole object would own it.
fn is_owned_by_someone(object: &Value) -> bool {
    let everything = manager_of("probe", "").apply(None, bare(object), false).unwrap();
    let mut all = PathSet::default();
    for fields in owners(object).as_object().unwrap().values() {
        for path in members(fields, &mut Vec::new()) {
            all.insert(&path.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
    entries(&everything).iter().all(|entry| {
        members(&entry["fieldsV1"], &mut Vec::new())
            .iter()
            .all(|path| all.contains(&path.iter().map(String::as_str).collect::<Vec<_>>()))
    })
}

/// The content without empty objects: structs that are always there have no owner.
fn bare(object: &Value) -> Value {
    crate::cluster::complete(without_empty(content(object)))
}

fn without_empty(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let kept = map.into_iter().map(|(key, value)| (key, without_empty(value)));
    kept.filter(|(_, value)| value.as_object().is_none_or(|map| !map.is_empty())).collect()
}

/// All members.
fn members(branch: &Value, path: &mut Vec<String>) -> Vec<Vec<String>> {
    let map = branch.as_object().unwrap();
    let mut out = Vec::new();
    for (key, part) in map.iter().filter(|(key, _)| *key != ".") {
        path.push(key.clone());
        if part.get(".").is_some() || part.as_object().unwrap().is_empty() {
            out.push(path.clone());
        }
        out.extend(members(part, path));
        path.pop();
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn no_patch_panics(doc in any_json(), patch in any_json(), operations in any_operations()) {
        let mut merged = doc.clone();
        patch::merge(&mut merged, patch.clone());
        let _ = patch::json_patch(doc.clone(), operations.to_string().as_bytes());
        let _ = patch::json_patch(doc.clone(), patch.to_string().as_bytes());
        let _ = patch::strategic(schema(), &mut doc.clone(), patch);
    }

    #[test]
    fn no_write_panics(old in any_json(), new in any_json(), config in any_json()) {
        for subresource in ["", "status"] {
            let manager = manager_of("m", subresource);
            let mut created = new.clone();
            manager.create(&mut created);
            let mut updated = new.clone();
            manager.update(&old, &mut updated);
            let mut config = config.clone();
            if config.is_object() {
                config = crate::cluster::complete(match config["metadata"].is_object() {
                    true => config,
                    false => json!({"spec": config}),
                });
            }
            let _ = manager.apply(Some(&old), config.clone(), true);
            let _ = manager.apply(None, config, false);
        }
    }

    #[test]
    fn a_merge_patch_is_idempotent(doc in any_json(), patch in any_json()) {
        let mut once = doc;
        let patch = without_nulls_in_lists(patch, false);
        patch::merge(&mut once, patch.clone());
        let mut twice = once.clone();
        patch::merge(&mut twice, patch);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn patching_an_object_with_itself_changes_nothing(object in config()) {
        let mut patched = object.clone();
        patch::strategic(schema(), &mut patched, object.clone()).unwrap();
        prop_assert_eq!(&patched, &object);
        let mut created = json!({});
        patch::strategic(schema(), &mut created, object.clone()).unwrap();
        prop_assert_eq!(created, object);
    }

    #[test]
    fn strategic_and_apply_agree_on_what_is_only_added(live in config(), added in config()) {
        let mut patched = live.clone();
        patch::strategic(schema(), &mut patched, added.clone()).unwrap();
        let applied = Cluster::run(vec![Step::Create("c", live), Step::Force("m", added)]).unwrap();
        prop_assert_eq!(unordered(replace_selector(&patched, &applied)), unordered(content(&applied)));
    }

    #[test]
    fn applying_twice_changes_nothing(steps in collection::vec(step(), 1..5), last in config()) {
        let mut cluster = Cluster { object: Some(run(steps)), ticks: 30 };
        cluster.step(Step::Force("m1", last.clone())).unwrap();
        let once = cluster.object.clone();
        cluster.step(Step::Apply("m1", last)).unwrap();
        prop_assert_eq!(once, cluster.object);
    }

    #[test]
    fn a_sole_applier_gets_exactly_what_it_applied_last(first in config(), last in config()) {
        let object = Cluster::run(vec![Step::Apply("m", first), Step::Apply("m", last.clone())]).unwrap();
        prop_assert_eq!(content(&object), last);
    }

    #[test]
    fn everything_has_an_owner(steps in collection::vec(step(), 1..6)) {
        let object = run(steps);
        prop_assume!(!entries(&object).is_empty(), "an object that lost all entries is not tracked");
        prop_assert!(is_owned_by_someone(&object), "{object:#}");
    }

    #[test]
    fn appliers_without_common_fields_do_not_see_each_other(a in config(), b in texts(&["x", "y"])) {
        let other = json!({"metadata": {"annotations": b}});
        let with = Cluster::run(vec![
            Step::Apply("a", a.clone()), Step::Apply("b", other), Step::Apply("b", json!({})),
        ]).unwrap();
        let without = Cluster::run(vec![Step::Apply("a", a)]).unwrap();
        prop_assert_eq!(content(&without_nulls(with)), content(&without));
    }
}

/// Whether a merge patch drops nulls inside a list depends on what was there before.
fn without_nulls_in_lists(value: Value, in_list: bool) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !in_list || !value.is_null());
            kept.map(|(key, value)| (key, without_nulls_in_lists(value, in_list))).collect()
        }
        Value::Array(items) => items.into_iter().map(|item| without_nulls_in_lists(item, true)).collect(),
        scalar => scalar,
    }
}

/// Strategic merge does not know that the selector is atomic.
fn replace_selector(patched: &Value, applied: &Value) -> Value {
    let mut patched = patched.clone();
    if let Some(selector) = applied.pointer("/spec/selector") {
        patched["spec"]["selector"] = selector.clone();
    }
    patched
}

/// Lists of objects and of texts sorted: both patches keep other orders. Argument lists stay.
fn unordered(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for (_, value) in map.iter_mut().filter(|(key, _)| *key != "args") {
                *value = unordered(value.take());
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                *item = unordered(item.take());
            }
            items.sort_by_key(Value::to_string);
        }
        _ => {}
    }
    value
}
