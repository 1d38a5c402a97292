//! kube-rs: what its examples do. A controller of a derived kind with a finalizer, reflectors, events, applied patches.

use crate::server::Server;
use futures::StreamExt as _;
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, ObjectReference, Pod},
        events::v1::Event as Recorded,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Client, CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, PartialObjectMeta, object::HasStatus as _},
    discovery,
    runtime::{
        Config, Controller, WatchStreamExt as _,
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
        finalizer::{self, finalizer},
        reflector,
        reflector::ObjectRef,
        wait::{await_condition, conditions},
        watcher,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::oneshot;

const MANAGER: &str = "garden-controller";
const FINALIZER: &str = "garden.example.com/registered";
/// Where the finalizer keeps what no owner reference cleans up.
const REGISTER: &str = "kube-public";

/// A garden and the plants in it.
#[derive(CustomResource, Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "garden.example.com",
    version = "v1",
    kind = "Garden",
    namespaced,
    status = "GardenStatus",
    shortname = "gd",
    printcolumn = r#"{"name":"Planted","type":"integer","jsonPath":".status.planted"}"#,
    scale = r#"{"specReplicasPath":".spec.rows","statusReplicasPath":".status.planted"}"#
)]
#[serde(rename_all = "camelCase")]
struct GardenSpec {
    /// How many rows of each plant.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 9))]
    rows: i32,
    /// What is planted where.
    plants: BTreeMap<String, String>,
}

fn one() -> i32 {
    1
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct GardenStatus {
    #[serde(default)]
    planted: i32,
    #[serde(default)]
    #[schemars(schema_with = "conditions_schema")]
    conditions: Vec<Condition>,
}

/// k8s-openapi's types describe themselves by references, which definitions may not have.
fn conditions_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type", "status", "reason", "message", "lastTransitionTime"], "properties": {
            "type": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"},
            "message": {"type": "string"}, "observedGeneration": {"type": "integer", "format": "int64"},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
        }},
    })
}

/// Applies the derived definition and waits until it is served.
async fn define(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply(MANAGER).force();
    let definition = Garden::crd();
    definitions.patch(Garden::crd_name(), &params, &Patch::Apply(&definition)).await.unwrap();
    await_condition(definitions, Garden::crd_name(), conditions::is_crd_established()).await.unwrap();
}

fn garden(name: &str, plants: &[(&str, &str)]) -> Garden {
    let plants = plants.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Garden::new(name, GardenSpec { rows: 2, plants })
}

struct Context {
    client: Client,
    recorder: Recorder,
}

async fn reconcile(
    garden: Arc<Garden>,
    context: Arc<Context>,
) -> Result<Action, finalizer::Error<kube::Error>> {
    let api: Api<Garden> = Api::namespaced(context.client.clone(), &garden.namespace().unwrap());
    finalizer(&api, FINALIZER, garden, |event| async {
        match event {
            finalizer::Event::Apply(garden) => grow(&garden, &context).await,
            finalizer::Event::Cleanup(garden) => clear(&garden, &context).await,
        }
    })
    .await
}

/// Brings the child, the registration and the status to where they should be.
async fn grow(garden: &Garden, context: &Context) -> kube::Result<Action> {
    let (namespace, params) = (garden.namespace().unwrap(), PatchParams::apply(MANAGER).force());
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let owner = garden.controller_owner_ref(&()).unwrap();
    let child = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": garden.name_any(), "ownerReferences": [owner]}, "data": garden.spec.plants,
    });
    maps.patch(&garden.name_any(), &params, &Patch::Apply(&child)).await?;
    let register: Api<ConfigMap> = Api::namespaced(context.client.clone(), REGISTER);
    let entry = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": garden.name_any()}});
    register.patch(&garden.name_any(), &params, &Patch::Apply(&entry)).await?;
    let planted = garden.spec.rows * i32::try_from(garden.spec.plants.len()).unwrap();
    if garden.status().is_none_or(|status| status.planted != planted) {
        let gardens: Api<Garden> = Api::namespaced(context.client.clone(), &namespace);
        let status = json!({
            "apiVersion": Garden::api_version(&()), "kind": Garden::kind(&()), "status": {"planted": planted, "conditions": [{
                "type": "Planted", "status": "True", "reason": "Grown", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        });
        gardens.patch_status(&garden.name_any(), &params, &Patch::Apply(&status)).await?;
        let event = Event {
            type_: EventType::Normal,
            reason: "Planted".into(),
            note: Some(format!("planted {planted}")),
            action: "Planting".into(),
            secondary: None,
        };
        context.recorder.publish(&event, &garden.object_ref(&())).await?;
    }
    Ok(Action::requeue(Duration::from_secs(300)))
}

/// Removes the registration.
async fn clear(garden: &Garden, context: &Context) -> kube::Result<Action> {
    let register: Api<ConfigMap> = Api::namespaced(context.client.clone(), REGISTER);
    register.delete(&garden.name_any(), &DeleteParams::default()).await?;
    Ok(Action::await_change())
}

/// A controller that runs until the result is dropped.
fn control(client: &Client) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let gardens: Api<Garden> = Api::all(client.clone());
    let maps: Api<ConfigMap> = Api::all(client.clone());
    let context = Context {
        client: client.clone(),
        recorder: Recorder::new(client.clone(), MANAGER.to_owned().into()),
    };
    let controller = Controller::new(gardens, watcher::Config::default())
        .owns(maps, watcher::Config::default())
        .with_config(Config::default().concurrency(2))
        .graceful_shutdown_on(async {
            let _ = stopped.await;
        });
    let again = |_: Arc<Garden>, _: &finalizer::Error<kube::Error>, _: Arc<Context>| {
        Action::requeue(Duration::from_millis(100))
    };
    tokio::spawn(controller.run(reconcile, again, Arc::new(context)).for_each(|_| async {}));
    stop
}

#[tokio::test]
async fn controllers_own_objects_and_finalize() {
    let server = Server::with_node();
    let client = server.client().await;
    define(&client).await;
    let stop = control(&client);
    let gardens: Api<Garden> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let register: Api<ConfigMap> = Api::namespaced(client.clone(), REGISTER);
    gardens
        .create(&PostParams::default(), &garden("kitchen", &[("east", "peas"), ("west", "beans")]))
        .await
        .unwrap();
    let planted = |count| {
        move |garden: Option<&Garden>| {
            garden
                .and_then(|g| g.status.as_ref())
                .is_some_and(|s| s.planted == count && !s.conditions.is_empty())
        }
    };
    await_condition(gardens.clone(), "kitchen", planted(4)).await.unwrap();
    let child = maps.get("kitchen").await.unwrap();
    assert_eq!(child.data.unwrap()["east"], "peas");
    assert!(register.get_opt("kitchen").await.unwrap().is_some());

    // The controller hears of its children and of scaling.
    maps.delete("kitchen", &DeleteParams::default()).await.unwrap();
    let uid = child.metadata.uid.unwrap();
    let replaced = |map: Option<&ConfigMap>| map.is_some_and(|map| map.uid().as_deref() != Some(&uid));
    await_condition(maps.clone(), "kitchen", replaced).await.unwrap();
    let scale = Patch::Merge(json!({"spec": {"rows": 3}}));
    gardens.patch("kitchen", &PatchParams::default(), &scale).await.unwrap();
    await_condition(gardens.clone(), "kitchen", planted(6)).await.unwrap();
    let scale = gardens.get_scale("kitchen").await.unwrap();
    assert_eq!((scale.spec.unwrap().replicas, scale.status.unwrap().replicas), (Some(3), 6));

    let garden = gardens.get("kitchen").await.unwrap();
    gardens.delete("kitchen", &DeleteParams::foreground()).await.unwrap();
    await_condition(gardens, "kitchen", conditions::is_deleted(&garden.uid().unwrap())).await.unwrap();
    assert!(register.get_opt("kitchen").await.unwrap().is_none(), "the finalizer has run");
    await_condition(maps, "kitchen", |map: Option<&ConfigMap>| map.is_none()).await.unwrap();
    drop(stop);
}

#[tokio::test]
async fn reflectors_fill_stores() {
    let server = Server::start(&["--disable", "all"]);
    let client = server.client().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let map = |name: &str| {
        serde_json::from_value::<ConfigMap>(json!({"metadata": {"name": name, "labels": {"a": "b"}}}))
    };
    maps.create(&PostParams::default(), &map("first").unwrap()).await.unwrap();
    let metadata_of_maps: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(client);
    let config = watcher::Config::default().labels("a=b");
    for config in [config.clone().page_size(1), config.streaming_lists()] {
        let (store, writer) = reflector::store::<ConfigMap>();
        let stream =
            reflector(writer, watcher(maps.clone(), config.clone())).default_backoff().touched_objects();
        let running = tokio::spawn(stream.for_each(|_| async {}));
        store.wait_until_ready().await.unwrap();
        assert!(store.get(&ObjectRef::new("first").within("default")).is_some());
        let mut metadata = std::pin::pin!(watcher(metadata_of_maps.clone(), config).applied_objects());
        assert_eq!(metadata.next().await.unwrap().unwrap().name_any(), "first");
        maps.create(&PostParams::default(), &map("second").unwrap()).await.unwrap();
        assert_eq!(metadata.next().await.unwrap().unwrap().name_any(), "second");
        maps.delete("second", &DeleteParams::default()).await.unwrap();
        running.abort();
    }
}

#[tokio::test]
async fn recorders_publish_series() {
    let server = Server::start(&["--disable", "all"]);
    let client = server.client().await;
    let reporter = Reporter { controller: MANAGER.into(), instance: Some("one".into()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let about = ObjectReference {
        kind: Some("ConfigMap".into()),
        api_version: Some("v1".into()),
        name: Some("m".into()),
        namespace: Some("default".into()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: "Withered".into(),
        note: Some("no rain".into()),
        action: "Watering".into(),
        secondary: None,
    };
    for _ in 0..3 {
        recorder.publish(&event, &about).await.unwrap();
    }
    let events: Api<Recorded> = Api::default_namespaced(client);
    let found =
        events.list(&ListParams::default().fields("reason=Withered,regarding.name=m")).await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].series.as_ref().unwrap().count, 3);
    assert_eq!(found[0].reporting_instance.as_deref(), Some("one"));
}

#[tokio::test]
async fn discovered_kinds_are_applied_dynamically() {
    let server = Server::start(&["--disable", "all"]);
    let client = server.client().await;
    define(&client).await;
    let kind = GroupVersionKind::gvk("garden.example.com", "v1", "Garden");
    let (resource, capabilities) = discovery::pinned_kind(&client, &kind).await.unwrap();
    assert_eq!((resource.plural.as_str(), capabilities.supports_operation("watch")), ("gardens", true));
    let gardens: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
    let params = PatchParams::apply("mine");
    let object = |plants| json!({"apiVersion": "garden.example.com/v1", "kind": "Garden", "metadata": {"name": "g"}, "spec": {"plants": plants}});
    let made = gardens.patch("g", &params, &Patch::Apply(object(json!({"a": "peas"})))).await.unwrap();
    assert_eq!(made.data["spec"]["rows"], 1, "the derived default");
    let theirs = PatchParams::apply("theirs");
    gardens.patch("g", &theirs, &Patch::Apply(object(json!({"b": "beans"})))).await.unwrap();
    let refused = gardens.patch("g", &theirs, &Patch::Apply(object(json!({"a": "kale"})))).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let left = gardens.patch("g", &params, &Patch::Apply(object(json!({})))).await.unwrap();
    assert_eq!(left.data["spec"]["plants"], json!({"b": "beans"}));
    let wrong = json!({"spec": {"rows": 10}});
    let refused = gardens.patch("g", &PatchParams::default(), &Patch::Merge(wrong)).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!(status.code, 422);
    let entry = gardens.entry("h").await.unwrap();
    let mut entry =
        entry.or_insert(|| DynamicObject::new("h", &resource).data(json!({"spec": {"plants": {}}})));
    entry.commit(&PostParams::default()).await.unwrap();
    assert!(
        discovery::Discovery::new(client.clone())
            .run_aggregated()
            .await
            .unwrap()
            .has_group("garden.example.com")
    );
    let pods: Api<Pod> = Api::default_namespaced(client);
    assert!(pods.list_metadata(&ListParams::default()).await.unwrap().items.is_empty());
}
