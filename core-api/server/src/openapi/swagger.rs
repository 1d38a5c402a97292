//! OpenAPI documents of version 2 of other API servers, and how they join the own one.
//!
//! Of a document those paths count that the APIService gives its server a say in, with the definitions that they use. A
//! definition that says something else than the own one of the same name gets another name (`NAME_v2`), also where it is
//! used; one that says the same is shared, and stands for the kinds of both. Shared parameters are put where they are
//! used. Pure. Upstream: kube-openapi `pkg/aggregator/aggregator.go`.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};

const DEFINITION: &str = "#/definitions/";
const PARAMETER: &str = "#/parameters/";
/// Kinds that a definition stands for.
pub(super) const KINDS: &str = "x-kubernetes-group-version-kind";

/// What a server's document says of one version of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Swagger {
    paths: Map<String, Value>,
    definitions: Map<String, Value>,
    /// Stands for all of it.
    hash: u64,
}

impl Swagger {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The part of a document below a path such as `/apis/GROUP/VERSION/`.
    pub fn below(mut document: Value, prefix: &str) -> Self {
        let mut take = |member: &str| match document.get_mut(member).map(Value::take) {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let (parameters, mut definitions, mut paths) =
            (take("parameters"), take("definitions"), take("paths"));
        for path in paths.values_mut() {
            inline(path, &parameters);
        }
        let used_before = used(paths.values(), &definitions);
        paths.retain(|path, _| path.starts_with(prefix));
        let used = used(paths.values(), &definitions);
        definitions.retain(|name, _| used.contains(name) || !used_before.contains(name));
        let text = Value::from_iter([("p", paths.clone().into()), ("d", Value::from(definitions.clone()))]);
        let hash = proa_meta::fnv::hash(text.to_string().as_bytes());
        Self { paths, definitions, hash }
    }

    /// With other names for definitions.
    fn renamed(&self, names: &HashMap<&str, String>) -> (Map<String, Value>, Map<String, Value>) {
        let (mut paths, definitions) = (self.paths.clone(), self.definitions.clone());
        let mut named: Map<String, Value> = Map::new();
        for (name, definition) in definitions {
            named.insert(names.get(&*name).cloned().unwrap_or(name), definition);
        }
        for value in paths.values_mut().chain(named.values_mut()) {
            references(value, &mut |reference| {
                let to = names.get(reference.strip_prefix(DEFINITION)?)?;
                Some(format!("{DEFINITION}{to}"))
            });
        }
        (paths, named)
    }
}

/// Calls `replace` with every reference below a value.
fn references(value: &mut Value, replace: &mut dyn FnMut(&str) -> Option<String>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| references(item, replace)),
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(other) = replace(reference)
            {
                *reference = other;
            }
            members.values_mut().for_each(|member| references(member, replace));
        }
        _ => {}
    }
}

/// Puts shared parameters where they are used.
fn inline(item: &mut Value, shared: &Map<String, Value>) {
    let Some(members) = item.as_object_mut() else { return };
    let lists = members.iter_mut().filter_map(|(name, member)| match &**name {
        "parameters" => Some(member),
        _ => member.get_mut("parameters"),
    });
    for parameter in lists.filter_map(Value::as_array_mut).flatten() {
        let reference = parameter["$ref"].as_str().and_then(|reference| reference.strip_prefix(PARAMETER));
        if let Some(found) = reference.and_then(|name| shared.get(name)) {
            *parameter = found.clone();
        }
    }
}

/// Names of the definitions that values use, directly or through others.
fn used<'v>(values: impl Iterator<Item = &'v Value>, definitions: &Map<String, Value>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let mut waiting: Vec<&Value> = values.collect();
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(members) => {
                let reference = members.get("$ref").and_then(Value::as_str);
                if let Some(name) = reference.and_then(|text| text.strip_prefix(DEFINITION))
                    && used.insert(name.to_owned())
                {
                    waiting.extend(definitions.get(name));
                }
                waiting.extend(members.values());
            }
            _ => {}
        }
    }
    used
}

/// What other servers' documents add.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Added {
    /// Paths.
    pub(super) paths: BTreeMap<String, Value>,
    /// Definitions, some under another name.
    pub(super) definitions: BTreeMap<String, Value>,
    /// All kinds that own definitions stand for, where others use them too.
    pub(super) kinds: BTreeMap<String, Value>,
}

/// Joins documents, in order, with the own definitions of the same names.
pub(super) fn join(documents: &[&Swagger], own: &BTreeMap<String, Value>) -> Added {
    let mut added = Added::default();
    for document in documents {
        let names = other_names(document, own, &added.definitions);
        let (paths, definitions) = document.renamed(&names);
        for (name, definition) in definitions {
            match (own.get(&name), added.definitions.get_mut(&name)) {
                (Some(existing), _) => {
                    let known = added.kinds.get(&name).unwrap_or(&existing[KINDS]);
                    if let Some(kinds) = both(known, &definition[KINDS]) {
                        added.kinds.insert(name, kinds);
                    }
                }
                (None, Some(existing)) => {
                    if let Some(kinds) = both(&existing[KINDS], &definition[KINDS]) {
                        existing[KINDS] = kinds;
                    }
                }
                (None, None) => drop(added.definitions.insert(name, definition)),
            }
        }
        for (path, item) in paths {
            added.paths.entry(path).or_insert(item);
        }
    }
    added
}

/// New names of a document's definitions that say something else than those that are there.
fn other_names<'d>(
    document: &'d Swagger,
    own: &BTreeMap<String, Value>,
    added: &BTreeMap<String, Value>,
) -> HashMap<&'d str, String> {
    let mut names: HashMap<&str, String> = HashMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (name, definition) in &document.definitions {
        let existing = |name: &str| own.get(name).or_else(|| added.get(name));
        if existing(name).is_none_or(|there| is_same(there, definition)) {
            continue;
        }
        let mut tries = (2_u32..).map(|i| format!("{name}_v{i}"));
        let free = |other: &String| match existing(other) {
            Some(there) => is_same(there, definition),
            None => !document.definitions.contains_key(other) && !taken.contains(other),
        };
        // The numbers do not end.
        let Some(other) = tries.find(free) else { continue };
        taken.insert(other.clone());
        names.insert(name, other);
    }
    names
}

/// Whether two definitions say the same, but for the kinds that they stand for.
fn is_same(a: &Value, b: &Value) -> bool {
    let rest = |definition: &Value| {
        let mut definition = definition.clone();
        if let Some(members) = definition.as_object_mut() {
            members.remove(KINDS);
        }
        definition
    };
    rest(a) == rest(b)
}

/// The kinds of two definitions; none when the first has them all.
fn both(first: &Value, second: &Value) -> Option<Value> {
    let second = second.as_array()?;
    let mut all = first.as_array().cloned().unwrap_or_default();
    let before = all.len();
    for kind in second {
        if !all.contains(kind) {
            all.push(kind.clone());
        }
    }
    (all.len() > before).then_some(Value::Array(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn get(definition: &str) -> Value {
        json!({"get": {"responses": {"200": {"schema": {"$ref": format!("{DEFINITION}{definition}")}}}}})
    }

    #[test]
    fn a_server_has_a_say_in_its_own_version_only() {
        let shared = json!({"name": "pretty", "in": "query", "type": "string"});
        let mut own = get("A");
        own["parameters"] = json!([{"$ref": "#/parameters/pretty-x"}]);
        let document = json!({
            "paths": {"/apis/a.io/v1/as": own, "/apis/b.io/v1/bs": get("B"), "/version": get("A")},
            "parameters": {"pretty-x": shared},
            "definitions": {
                "A": {"properties": {"meta": {"$ref": "#/definitions/Meta"}}}, "Meta": {"type": "object"},
                "B": {}, "Unused": {},
            },
        });
        let part = Swagger::below(document, "/apis/a.io/v1/");
        assert_eq!(part.paths.keys().collect::<Vec<_>>(), ["/apis/a.io/v1/as"]);
        assert_eq!(part.paths["/apis/a.io/v1/as"]["parameters"], json!([shared]));
        assert_eq!(part.definitions.keys().collect::<Vec<_>>(), ["A", "Meta", "Unused"]);
        assert!(Swagger::below(json!("nonsense"), "/apis/a.io/v1/").is_empty());
    }

    #[test]
    fn conflicting_definitions_get_other_names_and_equal_ones_are_shared() {
        let kind = |group: &str| json!({"group": group, "version": "v1", "kind": "DeleteOptions"});
        let options = |group: &str| json!({"type": "object", KINDS: [kind(group)]});
        let document = |group: &str, text: &str| {
            let path = format!("/apis/{group}/v1/as");
            Swagger::below(
                json!({
                    "paths": {path.clone(): get("A")},
                    "definitions": {
                        "A": {"properties": {"meta": {"$ref": "#/definitions/Meta"}}},
                        "Meta": {"description": text}, "Options": options(group),
                    },
                }),
                &format!("/apis/{group}/v1/"),
            )
        };
        let own = BTreeMap::from([
            ("Meta".to_owned(), json!({"description": "own"})),
            ("Options".to_owned(), options("")),
        ]);
        let (a, b, c) = (document("a.io", "one"), document("b.io", "two"), document("c.io", "one"));
        let added = join(&[&a, &b, &c], &own);
        assert_eq!(added.definitions.keys().collect::<Vec<_>>(), ["A", "A_v2", "A_v3", "Meta_v2", "Meta_v3"]);
        let refers = |definition: &str| added.definitions[definition]["properties"]["meta"]["$ref"].clone();
        assert_eq!(refers("A"), "#/definitions/Meta_v2");
        assert_eq!(refers("A_v2"), "#/definitions/Meta_v3");
        // Compared as written, before its references have other names: upstream does the same.
        assert_eq!(refers("A_v3"), "#/definitions/Meta_v2");
        let schema = |path: &str| added.paths[path]["get"]["responses"]["200"]["schema"]["$ref"].clone();
        assert_eq!(schema("/apis/b.io/v1/as"), "#/definitions/A_v2");
        assert_eq!(added.kinds["Options"], json!([kind(""), kind("a.io"), kind("b.io"), kind("c.io")]));
    }
}
