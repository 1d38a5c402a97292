//! What a kind is: one value. Built-in kinds are made by `proa-crds`, one file each; a CustomResourceDefinition
//! makes the same value at run time. Every verb, patch, table, document and watch works from it.
//!
//! Hooks are pure functions on the JSON object. They run after the schema has been decoded and its declared
//! defaults set, so they may rely on JSON types, not on presence. Upstream: apiserver
//! `pkg/registry/rest/{create,update,delete}.go` (strategies).

use crate::conversion::Versions;
use jiff::Timestamp;
use proa_meta::{
    FieldErrors, GroupResource, Gvk, Gvr,
    gvk::{GroupKind, Name},
};
use proa_schema::{SchemaRef, apply::Reset};
use proa_store::Revision;
use serde_json::Value;

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One per cluster.
    Cluster,
    /// One per namespace.
    Namespaced,
}

/// Everything that the core knows about one served kind in one version.
#[derive(Clone)]
pub struct KindDef {
    /// Group, version, kind.
    pub gvk: Gvk,
    /// Plural resource.
    pub resource: Name,
    /// Singular resource.
    pub singular: Name,
    /// Kind of lists.
    pub list_kind: Name,
    /// Short names, such as `deploy`.
    pub short_names: Vec<Name>,
    /// Categories, such as `all`.
    pub categories: Vec<Name>,
    /// Cluster or namespaced.
    pub scope: Scope,
    /// Structural schema of the whole object (`apiVersion`, `kind` and `metadata` included for built-ins).
    pub schema: SchemaRef,
    /// Under which name objects are stored: kinds that name the same storage show the same objects.
    pub storage: GroupResource,
    /// Whether objects are stored or answered by a function.
    pub behaviour: Behaviour,
    /// Table columns.
    pub table: Table,
    /// Hooks.
    pub strategy: Strategy,
    /// Selectable fields besides `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Selectable>,
    /// `/status` is served.
    pub status: bool,
    /// `/scale` is served.
    pub scale: Option<Scale>,
    /// Parts of the object that have a path of their own besides its status.
    pub parts: Vec<PartDef>,
    /// Further subresources, each answered by a registered action.
    pub subresources: Vec<SubresourceDef>,
    /// Unique values that objects hold, such as cluster IPs.
    pub claims: Option<Claims>,
    /// Between the stored form and this version, when they differ in more than `apiVersion`.
    pub convert: Option<Conversion>,
    /// How objects of a custom kind of several versions are stored.
    pub versions: Option<std::sync::Arc<Versions>>,
    /// When the definition of a custom kind was written: older objects may lack what its schema defaults by now, and
    /// have what it no longer knows.
    pub since: Option<Revision>,
    /// Whether all objects can be deleted by one request.
    pub deletes_collection: bool,
    /// Made from a CustomResourceDefinition.
    pub custom: bool,
    /// Objects vanish this many seconds after their last write (events).
    pub ttl_seconds: Option<u64>,
    /// Text of a deprecation warning, sent with every request.
    pub deprecation: Option<Name>,
    /// What validation errors call the kind, where upstream calls it otherwise.
    pub error_kind: Option<GroupKind>,
}

/// Whether objects are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// All verbs, kept in the store.
    Stored,
    /// `create` only, answered by the action registered for the resource with an empty subresource.
    Virtual,
}

impl KindDef {
    /// A stored, namespaced kind without hooks; the methods below complete it.
    pub fn namespaced(gvk: Gvk, resource: &'static str, schema: SchemaRef) -> Self {
        Self::new(gvk, resource, schema, Scope::Namespaced)
    }
    /// A stored, cluster-scoped kind.
    pub fn cluster(gvk: Gvk, resource: &'static str, schema: SchemaRef) -> Self {
        Self::new(gvk, resource, schema, Scope::Cluster)
    }
    fn new(gvk: Gvk, resource: &'static str, schema: SchemaRef, scope: Scope) -> Self {
        Self {
            resource: resource.into(),
            singular: gvk.kind.to_lowercase().into(),
            list_kind: format!("{}List", gvk.kind).into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            scope,
            schema,
            storage: GroupResource { group: gvk.group.clone(), resource: resource.into() },
            behaviour: Behaviour::Stored,
            table: Table::default(),
            strategy: Strategy::default(),
            selectable: Vec::new(),
            status: false,
            scale: None,
            parts: Vec::new(),
            subresources: Vec::new(),
            claims: None,
            convert: None,
            versions: None,
            since: None,
            deletes_collection: true,
            custom: false,
            ttl_seconds: None,
            deprecation: None,
            error_kind: None,
            gvk,
        }
    }
    /// Sets short names.
    #[must_use]
    pub fn short(mut self, names: &[&'static str]) -> Self {
        self.short_names = names.iter().map(|&n| n.into()).collect();
        self
    }
    /// Sets categories.
    #[must_use]
    pub fn categories(mut self, names: &[&'static str]) -> Self {
        self.categories = names.iter().map(|&n| n.into()).collect();
        self
    }
    /// Serves `/status`.
    #[must_use]
    pub fn with_status(mut self) -> Self {
        self.status = true;
        self
    }
    /// Serves `/scale`.
    #[must_use]
    pub fn with_scale(mut self, scale: Scale) -> Self {
        self.scale = Some(scale);
        self
    }
    /// Serves a part of the object at a path of its own.
    #[must_use]
    pub fn with_part(mut self, part: PartDef) -> Self {
        self.parts.push(part);
        self
    }
    /// Sets the hooks.
    #[must_use]
    pub fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }
    /// Sets columns and the function that fills them.
    #[must_use]
    pub fn with_table(mut self, columns: &[Column], row: fn(&Value, Timestamp) -> Vec<Value>) -> Self {
        self.table = Table { columns: columns.to_vec(), row: Row::Function(row) };
        self
    }
    /// Sets selectable fields by their dotted paths.
    #[must_use]
    pub fn selectable(mut self, fields: &[Selectable]) -> Self {
        self.selectable = fields.to_vec();
        self
    }
    /// Adds a subresource that a registered action answers.
    #[must_use]
    pub fn with_subresource(mut self, subresource: SubresourceDef) -> Self {
        self.subresources.push(subresource);
        self
    }
    /// Objects are deleted one by one only.
    #[must_use]
    pub fn without_delete_collection(mut self) -> Self {
        self.deletes_collection = false;
        self
    }
    /// The kind is answered by an action, nothing is stored.
    #[must_use]
    pub fn answered(mut self) -> Self {
        self.behaviour = Behaviour::Virtual;
        self
    }
    /// Group, version, resource.
    pub fn gvr(&self) -> Gvr {
        Gvr {
            group: self.gvk.group.clone(),
            version: self.gvk.version.clone(),
            resource: self.resource.clone(),
        }
    }
    /// Group and resource, as error messages name it.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.gvk.group.clone(), resource: self.resource.clone() }
    }
    /// Group and kind, as validation errors name it.
    pub fn group_kind(&self) -> GroupKind {
        self.error_kind.clone().unwrap_or_else(|| self.gvk.group_kind())
    }
    /// The part that has this path.
    pub fn part(&self, subresource: &str) -> Option<&PartDef> {
        self.parts.iter().find(|part| part.name == subresource)
    }
    /// Whether objects live in a namespace.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }
}

/// Hooks of one kind. `Strategy::default()` does nothing beyond what the generic verbs do for every kind:
/// metadata, generation, status isolation, schema.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// Defaults that the schema cannot express.
    pub default: fn(&mut Value),
    /// Before a create is validated: clear what users may not set. Status is already gone when `/status` is served.
    pub prepare_create: fn(&mut Value),
    /// After that, for an object that came without labels and may have got some by default.
    pub prepare_unlabelled: fn(&mut Value),
    /// Before an update is validated (`new`, `old`): keep what this path may not change.
    /// Status is already the old one when `/status` is served.
    pub prepare_update: fn(&mut Value, &Value),
    /// The same for a write through `/status`; everything but status and metadata is already the old one.
    pub prepare_status: fn(&mut Value, &Value),
    /// Validates a whole object (create and update).
    pub validate: fn(&Value, &mut FieldErrors),
    /// Validates what only a new object must satisfy; `validate` has already run.
    pub validate_create: fn(&Value, &mut FieldErrors),
    /// Validates a change (`new`, `old`); `validate` has already run on `new`.
    pub validate_update: fn(&Value, &Value, &mut FieldErrors),
    /// Validates a change through `/status` (`new`, `old`).
    pub validate_status: fn(&Value, &Value, &mut FieldErrors),
    /// Texts of `Warning` headers.
    pub warnings: fn(&Value) -> Vec<String>,
    /// Those that only a new object gets.
    pub create_warnings: fn(&Value) -> Vec<String>,
    /// Those that an update (`new`, `old`) gets for what it changes.
    pub update_warnings: fn(&Value, &Value) -> Vec<String>,
    /// What is wrong with a name; the flag says that it is a `generateName` prefix.
    pub name: fn(&str, bool) -> Vec<String>,
    /// When `metadata.generation` grows.
    pub generation: Generation,
    /// Seconds of grace that a delete gives (`object`, asked for); `None`: removed at once.
    pub grace: Option<fn(&Value, Option<i64>) -> i64>,
    /// Finalizers that a new object gets, such as a namespace's `kubernetes` in `spec.finalizers`: the object is only
    /// marked as deleted while this returns true.
    pub blocks_deletion: fn(&Value) -> bool,
    /// What deleting with orphan or foreground finalizers defaults to when no policy is given.
    pub default_propagation: Propagation,
    /// What a delete is warned of that leaves the policy out.
    pub delete_warning: Option<&'static str>,
    /// When the object is marked as deleted but stays for a while.
    pub mark_deleted: fn(&mut Value),
    /// A delete answers with the removed object instead of a `Status`.
    pub returns_deleted: bool,
    /// A create keeps the status it brings, although `/status` is served.
    pub status_on_create: bool,
    /// An update without resourceVersion is allowed.
    pub unconditional_update: bool,
    /// A PUT to a name that does not exist creates the object.
    pub create_on_update: bool,
    /// What writers through a path (empty, or a subresource) never own, if it is not the usual.
    pub resets: fn(&str) -> Option<Reset<'static>>,
}

impl Default for Strategy {
    fn default() -> Self {
        Self {
            default: |_| {},
            prepare_create: |_| {},
            prepare_unlabelled: |_| {},
            prepare_update: |_, _| {},
            prepare_status: |_, _| {},
            validate: |_, _| {},
            validate_create: |_, _| {},
            validate_update: |_, _, _| {},
            validate_status: |_, _, _| {},
            warnings: |_| Vec::new(),
            create_warnings: |_| Vec::new(),
            update_warnings: |_, _| Vec::new(),
            name: proa_meta::names::name_is_dns_subdomain,
            generation: Generation::None,
            grace: None,
            blocks_deletion: |_| false,
            default_propagation: Propagation::Background,
            delete_warning: None,
            mark_deleted: |_| {},
            returns_deleted: false,
            status_on_create: false,
            unconditional_update: true,
            create_on_update: false,
            resets: |_| None,
        }
    }
}

/// When `metadata.generation` grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has no generation.
    None,
    /// Starts at 1, grows when anything but metadata and status changes.
    Spec,
    /// As `Spec`, and also when annotations change (Deployment).
    SpecOrAnnotations,
    /// As `Spec`, and also when labels change (EndpointSlice).
    SpecOrLabels,
    /// Starts at what the object brings, else without one, and grows as `Spec` (CSIDriver).
    Given,
}

/// What happens to dependents: `propagationPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The garbage collector removes them afterwards.
    Background,
    /// They go first; finalizer `foregroundDeletion`.
    Foreground,
    /// They stay; finalizer `orphan`.
    Orphan,
}

/// A field that field selectors may name.
#[derive(Clone, Debug)]
pub struct Selectable {
    /// Where the value is in the stored object: `spec.nodeName`. Selectors write it so, unless there is a label.
    pub field: Name,
    /// What selectors write instead.
    pub label: Option<&'static str>,
    /// Where the value is if it is empty or absent there.
    pub fallback: Option<&'static str>,
    /// Watches with an equality on it are bucketed by value, so that an event wakes only those it concerns.
    pub indexed: bool,
    /// Value when the field is absent.
    pub absent: &'static str,
    /// Whether it is one of another version of the kind: all versions count the same fields, and each names its own.
    pub is_anothers: bool,
}

impl Selectable {
    /// A selectable field, empty when absent.
    pub const fn new(field: &'static str) -> Self {
        Self {
            field: Name::Borrowed(field),
            label: None,
            fallback: None,
            indexed: false,
            absent: "",
            is_anothers: false,
        }
    }
    /// One that is indexed.
    pub const fn indexed(field: &'static str) -> Self {
        let mut new = Self::new(field);
        new.indexed = true;
        new
    }
    /// Whether selectors name it so.
    pub fn is_called(&self, label: &str) -> bool {
        !self.is_anothers && self.label() == label
    }
    /// Sets what selectors write.
    #[must_use]
    pub const fn called(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }
    /// Sets where the value is if it is not in its place.
    #[must_use]
    pub const fn else_at(mut self, field: &'static str) -> Self {
        self.fallback = Some(field);
        self
    }
    /// What selectors write.
    pub fn label(&self) -> &str {
        self.label.unwrap_or(&self.field)
    }
    /// Sets the value that stands for absence.
    #[must_use]
    pub const fn or(mut self, absent: &'static str) -> Self {
        self.absent = absent;
        self
    }
}

/// `/scale`: where replicas and the selector are, as dotted paths with a leading dot.
#[derive(Clone, Debug)]
pub struct Scale {
    /// `.spec.replicas`.
    pub spec_replicas: Name,
    /// `.status.replicas`.
    pub status_replicas: Name,
    /// `.status.selector` (text) or `.spec.selector` (LabelSelector or map), when there is one.
    pub selector: Option<Name>,
}

/// A part of an object with a path of its own, such as `pods/resize`: read, replaced and patched as the whole object,
/// and a write changes nothing but this part.
#[derive(Clone, Copy, Debug)]
pub struct PartDef {
    /// Name behind the object's, such as `resize`.
    pub name: &'static str,
    /// Puts back everything (`new`, `old`) that this path does not change. May run more than once.
    pub keep: fn(&mut Value, &Value),
    /// Validates the change (`new`, `old`); the kind's `validate` has already run on `new`.
    pub validate: fn(&Value, &Value, &mut FieldErrors),
    /// Fields that a write through this path may own.
    pub owned: Reset<'static>,
}

/// A subresource answered by an action.
#[derive(Clone, Debug)]
pub struct SubresourceDef {
    /// Name behind the object's, such as `binding`.
    pub name: &'static str,
    /// Kind of its body.
    pub gvk: Gvk,
    /// Schema of its body.
    pub schema: SchemaRef,
    /// Verbs, such as `create`.
    pub verbs: &'static [&'static str],
    /// Paths below it are its own, with whatever method (proxies).
    pub paths: bool,
    /// Type of its query parameters, where it has some of its own.
    pub query: Option<SchemaRef>,
}

impl SubresourceDef {
    /// Whether it leads to something else, which answers in its own way: all it takes are parameters.
    pub fn connects(&self) -> bool {
        self.query.as_ref().is_some_and(|query| query.type_name() == self.schema.type_name())
    }
}

/// Converts between this version and the stored form, in place.
#[derive(Clone, Copy)]
pub struct Conversion {
    /// From this version.
    pub to_storage: fn(&mut Value),
    /// To this version.
    pub from_storage: fn(&mut Value),
}

/// A unique value in a named space: `clusterIP` `10.96.0.10`, `nodePort` `30080`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Space.
    pub space: &'static str,
    /// Value.
    pub value: String,
}

/// Unique values of a kind's objects. Chosen inside create and update, guarded by the writer, freed by the delete.
#[derive(Clone, Copy)]
pub struct Claims {
    /// What the object holds.
    pub held: fn(&Value) -> Vec<Claim>,
    /// Completes `new` with free values (`old` on update) and reports values that are out of range or taken.
    pub allocate: fn(&mut Value, Option<&Value>, &dyn Pool, &mut FieldErrors),
    /// What is kept beside claims of a space, if anything.
    pub record: Option<Record>,
}

/// An object of its own that says who holds a value, such as an IPAddress: it is named after the value, comes with the
/// claim and goes with it, in the same write.
#[derive(Clone, Copy)]
pub struct Record {
    /// The space.
    pub space: &'static str,
    /// Its kind, which is cluster-scoped.
    pub gvr: &'static Gvr,
    /// The object for a value of this holder.
    pub make: fn(value: &str, holder: &Value) -> Value,
}

/// Where free values come from.
pub trait Pool {
    /// A free value of the space, `None` when it is exhausted.
    fn pick(&self, space: &'static str) -> Option<String>;
    /// What is wrong with asking for this value: not in the range or held by another object.
    fn check(&self, claim: &Claim) -> Result<(), ClaimProblem>;
}

/// Why a value cannot be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimProblem {
    /// Another object holds it.
    Taken,
    /// Outside the space; the text describes the range.
    OutOfRange(String),
}

/// One column of a Table.
#[derive(Clone, Debug)]
pub struct Column {
    /// Heading, such as `Ready`.
    pub name: Name,
    /// OpenAPI type: `string`, `integer`, `number`, `boolean`, `date`.
    pub kind: Name,
    /// OpenAPI format; `name` marks the object's name.
    pub format: Name,
    /// Text for people.
    pub description: Name,
    /// 0: always shown, 1: with `-o wide`.
    pub priority: i32,
}

impl Column {
    /// A text column that is always shown.
    pub const fn text(name: &'static str) -> Self {
        Self::of(name, "string")
    }
    /// A column of the given type.
    pub const fn of(name: &'static str, kind: &'static str) -> Self {
        Self {
            name: Name::Borrowed(name),
            kind: Name::Borrowed(kind),
            format: Name::Borrowed(""),
            description: Name::Borrowed(""),
            priority: 0,
        }
    }
    /// The object's name.
    pub const fn name() -> Self {
        Self {
            name: Name::Borrowed("Name"),
            kind: Name::Borrowed("string"),
            format: Name::Borrowed("name"),
            description: Name::Borrowed(""),
            priority: 0,
        }
    }
    /// Time since creation.
    pub const fn age() -> Self {
        Self::of("Age", "string")
    }
    /// With a format.
    #[must_use]
    pub fn with_format(mut self, format: &'static str) -> Self {
        self.format = Name::Borrowed(format);
        self
    }
    /// Shown with `-o wide` only.
    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }
}

/// Table form of a kind.
#[derive(Clone)]
pub struct Table {
    /// Columns.
    pub columns: Vec<Column>,
    /// How a row is filled.
    pub row: Row,
}

/// How a row is filled.
#[derive(Clone)]
pub enum Row {
    /// By a function of the object and the present: one cell per column.
    Function(fn(&Value, Timestamp) -> Vec<Value>),
    /// By JSONPath, one per column (custom kinds); Name comes first and is implied.
    Paths(std::sync::Arc<[String]>),
}

/// Name and creation time: what every kind without columns of its own shows.
impl Default for Table {
    fn default() -> Self {
        const CREATED: Column = Column::of("Created At", "date");
        Self { columns: vec![Column::name(), CREATED], row: Row::Function(name_and_creation) }
    }
}

fn name_and_creation(object: &Value, _: Timestamp) -> Vec<Value> {
    let metadata = &object["metadata"];
    vec![metadata["name"].clone(), metadata["creationTimestamp"].clone()]
}
