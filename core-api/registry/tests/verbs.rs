//! The verbs on toy kinds and the memory engine.

use futures::StreamExt;
use proa_meta::{
    Gvk, Gvr, Reason, User,
    selector::{FieldSelector, Selector},
};
use proa_registry::{
    KindDef, Registry,
    claims::{Source, Space},
    kind::{Claim, Claims, Generation, Scale, Selectable, Strategy},
    registry::{Config, Plugins},
    request::{
        Body, ChangeType, DeleteOptions, GetOptions, ListOptions, Object, Patch, PatchType, Selection,
        Target, WatchEvent, WatchOptions, WriteOptions, Written,
    },
};
use proa_schema::{Field, ObjectShape, Omit, Schema, SchemaRef, Shape, schema::MapShape};
use proa_store::{Local, Memory, Options, Revision};
use serde_json::{Value, json};
use std::sync::Arc;

fn field(shape: Shape, omit: Omit) -> Field {
    Field {
        schema: SchemaRef::inline(Schema::of(shape)),
        required: false,
        omit,
        default: None,
        immutable: false,
        tag: 0,
        patch_merge: false,
        patch_merge_key: None,
    }
}

fn object(fields: Vec<(&str, Field)>) -> Shape {
    let fields = fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
    Shape::Object(ObjectShape { fields, ..ObjectShape::default() })
}

fn texts() -> Shape {
    Shape::Map(MapShape { values: SchemaRef::inline(Schema::of(Shape::String)), atomic: false })
}

fn metadata() -> Shape {
    let text = || field(Shape::String, Omit::Empty);
    let names = [
        "name",
        "generateName",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "deletionTimestamp",
    ];
    let mut fields: Vec<_> = names.into_iter().map(|name| (name, text())).collect();
    fields.push(("generation", field(Shape::Integer { bits: 64 }, Omit::Empty)));
    fields.push(("deletionGracePeriodSeconds", field(Shape::Integer { bits: 64 }, Omit::Null)));
    fields.push(("labels", field(texts(), Omit::Empty)));
    fields.push(("annotations", field(texts(), Omit::Empty)));
    fields.push(("finalizers", field(Shape::Any, Omit::Empty)));
    fields.push(("managedFields", field(Shape::Any, Omit::Empty)));
    object(fields)
}

fn kind(name: &'static str, resource: &'static str) -> KindDef {
    let spec = object(vec![
        ("node", field(Shape::String, Omit::Empty)),
        ("count", field(Shape::Integer { bits: 32 }, Omit::Empty)),
        ("port", field(Shape::String, Omit::Empty)),
    ]);
    let schema = object(vec![
        ("apiVersion", field(Shape::String, Omit::Empty)),
        ("kind", field(Shape::String, Omit::Empty)),
        ("metadata", field(metadata(), Omit::Empty)),
        ("spec", field(spec, Omit::Empty)),
        ("status", field(object(vec![("ready", field(Shape::Boolean, Omit::Empty))]), Omit::Never)),
    ]);
    let strategy = Strategy { generation: Generation::Spec, ..Strategy::default() };
    KindDef::namespaced(Gvk::new("toy", "v1", name), resource, SchemaRef::inline(Schema::of(schema)))
        .with_status()
        .with_strategy(strategy)
        .selectable(&[Selectable::indexed("spec.node")])
}

struct Cluster {
    registry: Arc<Registry>,
}

fn held(object: &Value) -> Vec<Claim> {
    let port = object["spec"]["port"].as_str().map(str::to_owned);
    port.map(|value| Claim { space: "port", value }).into_iter().collect()
}

fn cluster() -> Cluster {
    let mut ported = kind("Gate", "gates");
    ported.claims = Some(Claims {
        held,
        allocate: |new, _, pool, _| {
            if new["spec"]["port"].is_null()
                && let Some(port) = pool.pick("port")
            {
                new["spec"]["port"] = json!(port);
            }
        },
        record: None,
    });
    let mut scaled = kind("Crate", "crates").with_scale(Scale {
        spec_replicas: ".spec.count".into(),
        status_replicas: ".status.count".into(),
        selector: None,
    });
    scaled.custom = true;
    let config = Config {
        object_meta: SchemaRef::inline(Schema::of(metadata())),
        spaces: [("port", Source::Fixed(Space::Ports(1..=200)))].into(),
        now: || jiff::Timestamp::UNIX_EPOCH,
    };
    let registry = Registry::new(config, vec![kind("Toy", "toys"), ported, scaled]);
    let store = Local::open(Memory::default(), registry.clone(), Options::default()).expect("memory opens");
    registry.attach(store);
    registry.install(Plugins::default());
    Cluster { registry }
}

impl Cluster {
    fn target(&self, resource: &'static str, name: &str) -> Target {
        Target {
            kind: self.registry.kind(&Gvr::new("toy", "v1", resource)).expect("served"),
            namespace: "d".to_owned(),
            name: name.to_owned(),
            subresource: String::new(),
            user: Arc::new(User::new("me", &[])),
        }
    }
    async fn create(&self, resource: &'static str, object: Value) -> Result<Value, proa_meta::ApiError> {
        let target = self.target(resource, "");
        let body = Body { value: object, issues: Vec::new() };
        let written = self.registry.create(&target, body, &options()).await?;
        Ok(value(&target, &written))
    }
    async fn merge(&self, name: &str, patch: Value) -> Result<Value, proa_meta::ApiError> {
        let target = self.target("toys", name);
        let patch = Patch { kind: PatchType::Merge, bytes: patch.to_string().into(), issues: Vec::new() };
        let written = self.registry.patch(&target, patch, &options()).await?;
        Ok(value(&target, &written))
    }
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: "test".to_owned(), ..WriteOptions::default() }
}

fn value(target: &Target, written: &Written) -> Value {
    match &written.object {
        Object::Stored(entry) => entry.value(&target.kind.def),
        Object::Made(value) => Value::clone(value),
    }
}

fn toy(name: &str, node: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"node": node}}, "spec": {"node": node}})
}

#[tokio::test]
async fn create_read_update_and_generation() {
    let cluster = cluster();
    let made = cluster.create("toys", toy("a", "n1")).await.expect("created");
    assert_eq!((&made["metadata"]["generation"], &made["status"]), (&json!(1), &json!({})));
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["managedFields"].is_array());
    let again = cluster.create("toys", toy("a", "n1")).await.expect_err("taken");
    assert_eq!(again.reason(), Reason::AlreadyExists);

    let same = cluster.merge("a", json!({"spec": {"node": "n1"}})).await.expect("patched");
    assert_eq!(
        same["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"],
        "a no-op writes nothing"
    );
    let changed =
        cluster.merge("a", json!({"spec": {"count": 2}, "status": {"ready": true}})).await.expect("patched");
    assert_eq!((&changed["metadata"]["generation"], &changed["status"]), (&json!(2), &json!({})));

    let mut status = cluster.target("toys", "a");
    status.subresource = "status".to_owned();
    let patch = json!({"spec": {"count": 9}, "status": {"ready": true}}).to_string();
    let patch = Patch { kind: PatchType::Merge, bytes: patch.into(), issues: Vec::new() };
    let written = cluster.registry.patch(&status, patch, &options()).await.expect("status patched");
    let after = value(&status, &written);
    assert_eq!((&after["spec"]["count"], &after["status"]["ready"]), (&json!(2), &json!(true)));
    assert_eq!(after["metadata"]["generation"], 2);
}

#[tokio::test]
async fn a_stale_update_is_a_conflict_and_a_bad_type_is_refused() {
    let cluster = cluster();
    let made = cluster.create("toys", toy("a", "n1")).await.expect("created");
    cluster.merge("a", json!({"spec": {"count": 2}})).await.expect("patched");
    let target = cluster.target("toys", "a");
    let body = Body { value: made, issues: Vec::new() };
    let stale = cluster.registry.update(&target, body, &options()).await.err().expect("stale");
    assert_eq!(stale.reason(), Reason::Conflict);
    let wrong = cluster.merge("a", json!({"spec": {"count": "two"}})).await.expect_err("wrong type");
    assert_eq!(wrong.code(), 422);
}

#[tokio::test]
async fn concurrent_patches_all_count() {
    let cluster = Arc::new(cluster());
    cluster.create("toys", toy("a", "n1")).await.expect("created");
    let tasks = (0..40).map(|i| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            cluster.merge("a", json!({"metadata": {"labels": {format!("l{i}"): "x"}}})).await.map(|_| ())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no panic").expect("patched");
    }
    let target = cluster.target("toys", "a");
    let Object::Stored(entry) = cluster.registry.get(&target, GetOptions::default()).await.expect("there")
    else {
        panic!("stored")
    };
    assert_eq!(entry.labels().count(), 41);
}

#[tokio::test]
async fn claims_are_unique_under_concurrency_and_freed_by_delete() {
    let cluster = Arc::new(cluster());
    let tasks = (0..60).map(|i| {
        let cluster = cluster.clone();
        tokio::spawn(
            async move { cluster.create("gates", json!({"metadata": {"name": format!("g{i}")}})).await },
        )
    });
    let mut ports = std::collections::HashSet::new();
    for task in tasks.collect::<Vec<_>>() {
        let made = task.await.expect("no panic").expect("created");
        ports.insert(made["spec"]["port"].as_str().expect("allocated").to_owned());
    }
    assert_eq!(ports.len(), 60);
    let port = cluster.create("gates", json!({"metadata": {"name": "x"}, "spec": {"port": "7"}})).await;
    let taken = ports.contains("7");
    assert_eq!(port.is_err(), taken);
    if !taken {
        let again = json!({"metadata": {"name": "y"}, "spec": {"port": "7"}});
        assert!(cluster.create("gates", again.clone()).await.is_err());
        let gate = cluster.target("gates", "x");
        cluster.registry.delete(&gate, &DeleteOptions::default()).await.expect("deleted");
        cluster.create("gates", again).await.expect("freed");
    }
}

#[tokio::test]
async fn pages_come_from_one_revision() {
    let cluster = cluster();
    for i in 0..5 {
        cluster.create("toys", toy(&format!("t{i}"), "n1")).await.expect("created");
    }
    let target = cluster.target("toys", "");
    let first = ListOptions { limit: 2, ..ListOptions::default() };
    let page = cluster.registry.list(&target, &first).await.expect("listed");
    assert_eq!((page.items.len(), page.remaining), (2, Some(3)));
    let gone = cluster.target("toys", "t3");
    cluster.registry.delete(&gone, &DeleteOptions::default()).await.expect("deleted");
    let next = ListOptions { limit: 10, continue_token: page.continue_token, ..ListOptions::default() };
    let rest = cluster.registry.list(&target, &next).await.expect("listed");
    let names: Vec<_> = rest.items.iter().map(|e| e.name().to_owned()).collect();
    assert_eq!(names, ["t2", "t3", "t4"], "the list is as of its first page");
    assert_eq!((rest.revision, rest.remaining), (page.revision, None));
}

/// Objects are shown one after the other, and their revision counts as published in the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_was_seen_is_never_too_large() {
    let cluster = Arc::new(cluster());
    let writer = tokio::spawn({
        let cluster = cluster.clone();
        async move {
            for i in 0..500 {
                cluster.create("toys", toy(&format!("t{i}"), "n1")).await.expect("created");
            }
        }
    });
    let target = cluster.target("toys", "");
    while !writer.is_finished() {
        let any = ListOptions { resource_version: Some(Revision(0)), limit: 1, ..ListOptions::default() };
        let seen = cluster.registry.list(&target, &any).await.expect("listed").revision;
        let from = WatchOptions { resource_version: Some(seen), ..WatchOptions::default() };
        cluster.registry.watch(&target, from).await.map(drop).expect("it was seen");
    }
    writer.await.expect("all were created");
}

#[tokio::test]
async fn a_list_that_takes_too_long_goes_on_from_the_present() {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let cluster = cluster();
    for name in ["t0", "t1", "t2"] {
        cluster.create("toys", toy(name, "n1")).await.expect("created");
    }
    let target = cluster.target("toys", "");
    let options = |token| ListOptions { limit: 1, continue_token: token, ..ListOptions::default() };
    let page = cluster.registry.list(&target, &options(None)).await.expect("listed");
    let token = BASE64_URL_SAFE_NO_PAD.decode(page.continue_token.expect("there is more")).expect("base64");
    let mut token: Value = serde_json::from_slice(&token).expect("JSON");
    assert_eq!(token["begun"], 0, "this cluster's clock stands still");
    cluster.create("toys", toy("t3", "n1")).await.expect("created");
    let mut begun = async |seconds: i64| {
        token["begun"] = json!(seconds);
        let token = BASE64_URL_SAFE_NO_PAD.encode(token.to_string());
        cluster.registry.list(&target, &options(Some(token))).await.err().expect("too old")
    };
    assert_eq!(begun(i64::MIN).await.code(), 410);
    let refused = begun(-301).await;
    assert_eq!(refused.code(), 410);
    let onward = refused.to_status()["metadata"]["continue"].as_str().map(str::to_owned);
    let rest = ListOptions { limit: 0, ..options(onward) };
    let rest = cluster.registry.list(&target, &rest).await.expect("listed");
    let names: Vec<_> = rest.items.iter().map(|e| e.name().to_owned()).collect();
    assert_eq!(names, ["t1", "t2", "t3"]);
    assert!(rest.revision > page.revision);
}

#[tokio::test]
async fn watchers_see_objects_come_and_go_through_their_selector() {
    let cluster = cluster();
    cluster.create("toys", toy("a", "n1")).await.expect("created");
    cluster.create("toys", toy("b", "n2")).await.expect("created");
    let target = cluster.target("toys", "");
    let selection = Selection {
        labels: Selector::everything(),
        fields: FieldSelector::parse("spec.node=n1").expect("a selector"),
    };
    let watch =
        WatchOptions { selection, send_initial_events: true, bookmarks: true, ..WatchOptions::default() };
    let mut events = cluster.registry.watch(&target, watch).await.expect("watching");
    cluster.merge("b", json!({"spec": {"node": "n1"}})).await.expect("patched");
    cluster.merge("a", json!({"spec": {"node": "n3"}})).await.expect("patched");
    cluster.create("toys", toy("c", "n9")).await.expect("created");
    let target = cluster.target("toys", "b");
    cluster.registry.delete(&target, &DeleteOptions::default()).await.expect("deleted");
    let mut seen = Vec::new();
    while seen.len() < 5 {
        for event in events.next().await.expect("open") {
            seen.push(match event {
                WatchEvent::Object { change, entry, .. } => format!("{change:?} {}", entry.name()),
                WatchEvent::Bookmark { initial_end, .. } => format!("Bookmark {initial_end}"),
                WatchEvent::Error(error) => panic!("{error}"),
            });
        }
    }
    let _ = ChangeType::Added;
    assert_eq!(seen, ["Added a", "Bookmark true", "Added b", "Deleted a", "Deleted b"]);
}

#[tokio::test]
async fn finalizers_hold_a_deleted_object() {
    let cluster = cluster();
    let held = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}});
    cluster.create("toys", held).await.expect("created");
    let target = cluster.target("toys", "a");
    let written = cluster.registry.delete(&target, &DeleteOptions::default()).await.expect("marked");
    assert!(value(&target, &written)["metadata"]["deletionTimestamp"].is_string());
    let added =
        cluster.merge("a", json!({"metadata": {"finalizers": ["x/y", "z/z"]}})).await.expect_err("refused");
    assert_eq!(added.code(), 422);
    cluster.merge("a", json!({"metadata": {"finalizers": null}})).await.expect("released");
    assert_eq!(cluster.registry.get(&target, GetOptions::default()).await.err().map(|e| e.code()), Some(404));
}

#[tokio::test]
async fn a_custom_kind_is_not_scaled_to_what_is_no_count() {
    let cluster = cluster();
    let made =
        json!({"apiVersion": "toy/v1", "kind": "Crate", "metadata": {"name": "a"}, "spec": {"count": 3}});
    cluster.create("crates", made).await.expect("created");
    let mut target = cluster.target("crates", "a");
    target.subresource = "scale".to_owned();
    for (count, wrong) in
        [("9223372036854775808", "of type int32"), ("-1", "should be a non-negative integer")]
    {
        let bytes = format!(r#"{{"spec":{{"replicas":{count}}}}}"#).into();
        let patch = Patch { kind: PatchType::Merge, bytes, issues: Vec::new() };
        let refused = cluster.registry.patch(&target, patch, &options()).await.err().expect("refused");
        assert!(refused.code() == 422 && refused.message().contains(wrong), "{refused}");
    }
    let Object::Made(scale) = cluster.registry.get(&target, GetOptions::default()).await.expect("there")
    else {
        panic!("made")
    };
    assert_eq!(scale["spec"]["replicas"], 3);
}
