//! A catalogue of toy kinds, and who may use it.

use futures::future::{BoxFuture, FutureExt, ready};
use http::{HeaderMap, StatusCode};
use proa_meta::{ApiResult, GroupResource, Gvk, User};
use proa_registry::{
    Attributes, Authorizer, Decision, KindDef, Registry,
    kind::{Column, Generation, Row, Scale, Selectable, Strategy, SubresourceDef, Table},
    registry::{Config, Plugins},
    request::{Action, ActionRequest, Object, Written},
};
use proa_schema::{
    Field, ObjectShape, Omit, Schema, SchemaRef, Shape,
    protobuf::{Message, Part},
    schema::{ListShape, ListType, MapShape},
};
use proa_server::{
    Body, Response, Tunnel,
    connect::{Connect, ConnectRequest},
    openapi::{OpenApi, SchemaDocs},
};
use proa_store::{Local, Memory, Options};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

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

/// Fields are numbered in their order.
fn object(fields: Vec<(&'static str, Field)>) -> Shape {
    let parts = fields.iter().zip(1..).map(|((name, _), number)| (number, Part::Field(name))).collect();
    let fields = fields.into_iter().map(|(name, field)| (name.into(), field)).collect();
    Shape::Object(ObjectShape { fields, message: Some(Message::new(parts)), ..ObjectShape::default() })
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
    fields.push(("ownerReferences", field(Shape::Any, Omit::Empty)));
    fields.push(("managedFields", field(Shape::Any, Omit::Empty)));
    object(fields)
}

fn schema(spec: Shape) -> SchemaRef {
    SchemaRef::inline(Schema::of(object(vec![
        ("apiVersion", field(Shape::String, Omit::Empty)),
        ("kind", field(Shape::String, Omit::Empty)),
        ("metadata", field(metadata(), Omit::Empty)),
        ("spec", field(spec, Omit::Empty)),
        (
            "status",
            field(object(vec![("count", field(Shape::Integer { bits: 32 }, Omit::Empty))]), Omit::Empty),
        ),
    ])))
}

/// A toy's schema.
pub(crate) fn toy() -> SchemaRef {
    let spec = object(vec![
        ("node", field(Shape::String, Omit::Empty)),
        ("text", field(Shape::String, Omit::Empty)),
        ("count", field(Shape::Integer { bits: 32 }, Omit::Empty)),
    ]);
    schema(spec)
}

/// The list of toys.
pub(crate) fn toy_list() -> SchemaRef {
    SchemaRef::inline(Schema::of(list_of(toy())))
}

fn list_of(items: SchemaRef) -> Shape {
    let items = Shape::List(ListShape { items, list_type: ListType::Atomic });
    object(vec![("metadata", field(list_metadata(), Omit::Empty)), ("items", field(items, Omit::Never))])
}

fn list_metadata() -> Shape {
    let text = || field(Shape::String, Omit::Empty);
    let remaining = field(Shape::Integer { bits: 64 }, Omit::Null);
    object(vec![("resourceVersion", text()), ("continue", text()), ("remainingItemCount", remaining)])
}

/// Types that are no toys, as far as the tests read them in protobuf.
pub(crate) struct Docs;

impl SchemaDocs for Docs {
    fn component(&self, _: &str, _: OpenApi) -> Value {
        Value::Null
    }
    fn schema(&self, type_name: &str) -> Option<SchemaRef> {
        let text = || field(Shape::String, Omit::Empty);
        let number = || field(Shape::Integer { bits: 32 }, Omit::Empty);
        let replicas = || field(object(vec![("replicas", number())]), Omit::Empty);
        let partial = || object(vec![("metadata", field(metadata(), Omit::Empty))]);
        let texts = || {
            let items = SchemaRef::inline(Schema::of(Shape::String));
            field(Shape::List(ListShape { items, list_type: ListType::Atomic }), Omit::Empty)
        };
        let shape = match type_name.rsplit('.').next()? {
            "Status" => {
                object(vec![("status", text()), ("message", text()), ("reason", text()), ("code", number())])
            }
            "APIVersions" => object(vec![("versions", texts())]),
            "PartialObjectMetadata" => partial(),
            "PartialObjectMetadataList" => list_of(SchemaRef::inline(Schema::of(partial()))),
            "ListMeta" => list_metadata(),
            "Scale" => object(vec![
                ("metadata", field(metadata(), Omit::Empty)),
                ("spec", replicas()),
                ("status", replicas()),
            ]),
            _ => return None,
        };
        Some(SchemaRef::inline(Schema::of(shape)))
    }
}

fn toys() -> KindDef {
    KindDef::namespaced(Gvk::new("toy.example", "v1", "Toy"), "toys", toy())
        .short(&["ty"])
        .categories(&["all"])
        .with_status()
        .with_scale(Scale {
            spec_replicas: ".spec.count".into(),
            status_replicas: ".status.count".into(),
            selector: None,
        })
        .with_strategy(Strategy { generation: Generation::Spec, ..Strategy::default() })
        .selectable(&[Selectable::indexed("spec.node")])
        .with_table(
            &[Column::name(), Column::text("Node"), Column::of("Count", "integer").wide()],
            |toy, _| {
                vec![
                    toy["metadata"]["name"].clone(),
                    toy["spec"]["node"].clone(),
                    toy["spec"]["count"].clone(),
                ]
            },
        )
        .with_subresource(SubresourceDef {
            name: "echo",
            gvk: Gvk::new("toy.example", "v1", "Echo"),
            schema: SchemaRef::default(),
            verbs: &["create"],
            paths: false,
            query: None,
        })
        .with_subresource(SubresourceDef {
            name: "tunnel",
            gvk: Gvk::new("toy.example", "v1", "Tunnel"),
            schema: SchemaRef::default(),
            verbs: &["create", "get"],
            paths: false,
            query: None,
        })
}

fn catalogue() -> Vec<KindDef> {
    let namespaces =
        KindDef::cluster(Gvk::new("", "v1", "Namespace"), "namespaces", schema(object(Vec::new())))
            .short(&["ns"])
            .with_status();
    let mut boxes =
        KindDef::cluster(Gvk::new("toy.example", "v1", "Box"), "boxes", schema(object(Vec::new())));
    boxes.deprecation = Some("toy.example/v1 Box is deprecated; use a bag".into());
    boxes.custom = true;
    boxes.table = Table {
        columns: vec![Column::text("Made By"), Column::of("Age", "date")],
        row: Row::Paths(
            [".metadata.labels.by".to_owned(), ".metadata.creationTimestamp".to_owned()].to_vec().into(),
        ),
    };
    let reviews =
        KindDef::cluster(Gvk::new("toy.example", "v1", "Review"), "reviews", SchemaRef::default()).answered();
    vec![namespaces, toys(), boxes, reviews]
}

/// Sends the body back.
struct Echo;

impl Action for Echo {
    fn call<'a>(&'a self, _: &'a Arc<Registry>, request: ActionRequest) -> BoxFuture<'a, ApiResult<Written>> {
        let user = request.target.user.name.clone();
        let answer = json!({
            "kind": "Review", "apiVersion": "toy.example/v1", "metadata": {},
            "status": {"asked": request.body["spec"], "by": user, "groups": request.target.user.groups},
        });
        let object = Object::Made(Arc::new(answer));
        ready(Ok(Written {
            object,
            created: true,
            accepted: false,
            warnings: vec!["mind \"this\"".to_owned()],
        }))
        .boxed()
    }
}

/// What a tunnel says when its client has ended.
pub(crate) const BYE: &str = "bye";

/// Leaves HTTP and sends back what it gets.
pub(crate) struct Echoing;

impl Connect for Echoing {
    fn options(&self, _: &ConnectRequest) -> Option<Value> {
        None
    }
    fn connect(&self, asked: ConnectRequest) -> BoxFuture<'_, ApiResult<Response>> {
        ready(asked.request.require_upgrade().map(|()| {
            let mut headers = HeaderMap::new();
            headers.insert("upgrade", asked.request.headers["upgrade"].clone());
            headers.insert("x-user", asked.user.name.parse().expect("names are header values"));
            let body = Body::Upgrade(Tunnel::new(|connection| async move {
                let (mut reader, mut writer) = tokio::io::split(connection);
                if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
                    let _ = writer.write_all(BYE.as_bytes()).await;
                    let _ = writer.shutdown().await;
                }
            }));
            Response { status: StatusCode::SWITCHING_PROTOCOLS, headers, body }
        }))
        .boxed()
    }
}

/// `nobody` may do nothing; `guest` and anonymous may read plain paths; asking for `/panic` breaks the authorizer.
pub(crate) struct Rules;

impl Authorizer for Rules {
    fn authorize<'a>(&'a self, attributes: &'a Attributes) -> BoxFuture<'a, Decision> {
        assert!(attributes.path != "/panic", "asked to");
        let plain = !attributes.is_resource;
        let may = match attributes.user.name.as_str() {
            "nobody" => false,
            "guest" | "system:anonymous" => plain,
            "editor" => attributes.verb != "create" && attributes.verb != "impersonate",
            _ => true,
        };
        ready(if may { Decision::Allow(String::new()) } else { Decision::NoOpinion(String::new()) }).boxed()
    }
    fn rules<'a>(&'a self, _: &'a User, _: &'a str) -> BoxFuture<'a, Value> {
        ready(json!({})).boxed()
    }
}

/// A registry of the toy kinds with the namespace `d`.
pub(crate) fn registry() -> Arc<Registry> {
    registry_at(|| jiff::Timestamp::UNIX_EPOCH)
}

/// The same with another clock.
pub(crate) fn registry_at(now: fn() -> jiff::Timestamp) -> Arc<Registry> {
    let config =
        Config { object_meta: SchemaRef::inline(Schema::of(metadata())), spaces: Default::default(), now };
    let registry = Registry::new(config, catalogue());
    let store = Local::open(Memory::default(), registry.clone(), Options::default()).expect("memory opens");
    registry.attach(store);
    let mut plugins = Plugins::default();
    let reviews = GroupResource::new("toy.example", "reviews");
    let toys = GroupResource::new("toy.example", "toys");
    plugins.actions.insert((reviews, ""), Arc::new(Echo));
    plugins.actions.insert((toys, "echo"), Arc::new(Echo));
    registry.install(plugins);
    registry
}
