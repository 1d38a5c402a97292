//! Every kind against cases that people can read: `tests/kinds/*.yaml`.
//!
//! A case is an object as a client sends it, and what comes of it: errors, warnings, parts of the completed object,
//! the table row. With `old` it is an update of that object, with `status: true` one through `/status`, with `part` one
//! through the path of that part.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use proa_crds::catalogue;
use proa_meta::FieldErrors;
use proa_registry::kind::{Claim, ClaimProblem, Generation, KindDef, Pool, Row};
use proa_schema::{Schema, Shape, canonical, decode, default};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{cell::Cell, fs, path::Path};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    object: Value,
    #[serde(default)]
    old: Option<Value>,
    #[serde(default)]
    status: bool,
    #[serde(default)]
    part: Option<String>,
    #[serde(default)]
    errors: Vec<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    #[serde(default)]
    expect: Option<Value>,
    #[serde(default)]
    row: Option<Vec<Value>>,
}

/// Hands out 10.96.0.100 and up, and 31000 and up; 10.96.0.10 and 30080 are taken.
struct TestPool(Cell<u32>);

impl Pool for TestPool {
    fn pick(&self, space: &'static str) -> Option<String> {
        let n = self.0.replace(self.0.get() + 1);
        Some(if space == "clusterIP" { format!("10.96.0.{}", 100 + n) } else { (31_000 + n).to_string() })
    }
    fn check(&self, claim: &Claim) -> Result<(), ClaimProblem> {
        match (claim.space, claim.value.as_str()) {
            ("clusterIP", "10.96.0.10") | ("nodePort", "30080") => Err(ClaimProblem::Taken),
            ("clusterIP", ip) if !ip.starts_with("10.96.") => {
                Err(ClaimProblem::OutOfRange("10.96.0.0/12".to_owned()))
            }
            ("nodePort", port) if !port.starts_with('3') => {
                Err(ClaimProblem::OutOfRange("30000-32767".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn kind_of(object: &Value) -> KindDef {
    let version = object["apiVersion"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap();
    let found = catalogue().into_iter().find(|def| def.gvk.api_version() == version && def.gvk.kind == kind);
    found.unwrap_or_else(|| panic!("{version} {kind} is not in the catalogue"))
}

fn decoded(def: &KindDef, object: &Value) -> Value {
    let mut object = object.clone();
    let issues = decode::decode(&def.schema, &mut object).unwrap();
    assert!(issues.is_empty(), "{issues:?}");
    default::default_values(&def.schema, &mut object);
    (def.strategy.default)(&mut object);
    object
}

fn create(def: &KindDef, object: &Value, errors: &mut FieldErrors) -> Value {
    let unlabelled = object["metadata"].get("labels").is_none();
    let mut object = decoded(def, object);
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.entry("uid").or_insert(json!("u1"));
    metadata.entry("creationTimestamp").or_insert(json!("2026-01-01T00:00:00Z"));
    if def.status && !def.strategy.status_on_create {
        object.as_object_mut().unwrap().remove("status");
    }
    (def.strategy.prepare_create)(&mut object);
    if unlabelled {
        (def.strategy.prepare_unlabelled)(&mut object);
    }
    if def.strategy.generation != Generation::None {
        object["metadata"]["generation"] = json!(1);
    }
    if let Some(claims) = def.claims {
        (claims.allocate)(&mut object, None, &TestPool(Cell::new(0)), errors);
    }
    canonical::canonical(&def.schema, &mut object);
    (def.strategy.validate)(&object, errors);
    (def.strategy.validate_create)(&object, errors);
    object
}

fn update(def: &KindDef, object: &Value, old: &Value, case: &Case, errors: &mut FieldErrors) -> Value {
    let mut object = decoded(def, object);
    for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp"] {
        if let Some(value) = old["metadata"].get(field) {
            object["metadata"][field] = value.clone();
        }
    }
    if let Some(part) = &case.part {
        let part = def.part(part).unwrap();
        (part.keep)(&mut object, old);
        canonical::canonical(&def.schema, &mut object);
        (def.strategy.validate)(&object, errors);
        (part.validate)(&object, old, errors);
        return object;
    }
    if case.status {
        let status = object["status"].take();
        object = old.clone();
        object["status"] = status;
        (def.strategy.prepare_status)(&mut object, old);
        canonical::canonical(&def.schema, &mut object);
        (def.strategy.validate_status)(&object, old, errors);
        return object;
    }
    if def.status {
        object["status"] = old["status"].clone();
    }
    (def.strategy.prepare_update)(&mut object, old);
    if let Some(claims) = def.claims {
        (claims.allocate)(&mut object, Some(old), &TestPool(Cell::new(50)), errors);
    }
    canonical::canonical(&def.schema, &mut object);
    (def.strategy.validate)(&object, errors);
    (def.strategy.validate_update)(&object, old, errors);
    object
}

/// The old object as it would be stored: created, then with the status that the case gives it.
fn stored(def: &KindDef, old: &Value) -> Value {
    let mut errors = FieldErrors::default();
    let mut object = create(def, old, &mut errors);
    assert!(errors.is_empty(), "the old object is refused: {}", errors.summary());
    if let Some(status) = old.get("status") {
        object["status"] = status.clone();
    }
    if let Some(time) = old["metadata"].get("deletionTimestamp") {
        object["metadata"]["deletionTimestamp"] = time.clone();
    }
    canonical::canonical(&def.schema, &mut object);
    object
}

/// Whether every part of `expected` is in `found`. `null` means absent.
fn missing(found: &Value, expected: &Value, path: &str, out: &mut Vec<String>) {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (key, value) in expected {
                missing(found.get(key).unwrap_or(&Value::Null), value, &format!("{path}.{key}"), out);
            }
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                missing(found, expected, &format!("{path}[{i}]"), out);
            }
        }
        _ if found == expected => {}
        _ => out.push(format!("{path}: {found} instead of {expected}")),
    }
}

/// What came of a case.
struct Found {
    errors: Vec<String>,
    warnings: Vec<String>,
    object: Value,
    row: Vec<Value>,
}

fn found(case: &Case) -> Found {
    let def = kind_of(&case.object);
    let mut errors = FieldErrors::default();
    let object = match &case.old {
        None => create(&def, &case.object, &mut errors),
        Some(old) => update(&def, &case.object, &stored(&def, old), case, &mut errors),
    };
    let errors = errors.iter().map(ToString::to_string).collect();
    let mut warnings = (def.strategy.warnings)(&object);
    match &case.old {
        None => warnings.extend((def.strategy.create_warnings)(&object)),
        Some(old) if !case.status && case.part.is_none() => {
            warnings.extend((def.strategy.update_warnings)(&object, &stored(&def, old)));
        }
        Some(_) => {}
    }
    let mut shown = object.clone();
    if let (Some(status), None) = (case.object.get("status"), &case.old) {
        shown["status"] = status.clone();
    }
    let row = match &def.table.row {
        Row::Function(row) => row(&shown, "2026-01-01T01:00:00Z".parse().unwrap()),
        Row::Paths(_) => Vec::new(),
    };
    Found { errors, warnings, object, row }
}

/// How what was found differs from what the case expects.
fn problems(case: &Case, found: &Found) -> Vec<String> {
    let mut problems = Vec::new();
    if found.errors != case.errors {
        problems.push(format!("errors:\n  found    {:#?}\n  expected {:#?}", found.errors, case.errors));
    }
    if let Some(expected) = &case.expect {
        missing(&found.object, expected, "", &mut problems);
    }
    if case.warnings.as_ref().is_some_and(|expected| *expected != found.warnings) {
        problems.push(format!("warnings: {:#?}", found.warnings));
    }
    if case.row.as_ref().is_some_and(|expected| *expected != found.row) {
        problems.push(format!("row: {}", Value::from(found.row.clone())));
    }
    problems
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut count, mut failed, mut all) = (0, Vec::new(), Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let cases: Vec<Case> =
            serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for case in cases {
            count += 1;
            let found = found(&case);
            let problems = problems(&case, &found);
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            all.push(json!({"File": name, "Name": case.name, "Errors": found.errors,
                "Warnings": found.warnings, "Object": found.object, "Row": found.row}));
            if !problems.is_empty() {
                failed.push(format!("{name}: {}:\n{}", case.name, problems.join("\n")));
            }
        }
    }
    assert!(count > 0);
    // For a comparison with what upstream's own code says about the same cases.
    if let Some(path) = std::env::var_os("PROA_CASES_OUT") {
        fs::write(path, Value::from(all).to_string()).unwrap();
    }
    assert!(failed.is_empty(), "{} of {count} cases failed\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn every_kind_is_complete() {
    let kinds = catalogue();
    for def in &kinds {
        let name = format!("{} {}", def.gvk.api_version(), def.gvk.kind);
        assert!(def.schema.child("metadata").is_some(), "{name} has no schema");
        for part in &def.subresources {
            let is_object = matches!(part.schema.get().shape, proa_schema::Shape::Object(_));
            assert!(is_object, "{name}/{} has no schema", part.name);
        }
        let twins = kinds.iter().filter(|other| other.gvr() == def.gvr()).count();
        assert_eq!(twins, 1, "{name} is listed twice");
    }
}

/// Rows have one cell for each column, whatever the object lacks.
#[test]
fn rows_fit_their_columns() {
    for def in catalogue() {
        let object = json!({"metadata": {"name": "n"}});
        if let Row::Function(row) = &def.table.row {
            let cells = row(&object, "2026-01-01T01:00:00Z".parse().unwrap());
            assert_eq!(cells.len(), def.table.columns.len(), "{}", def.gvk);
        }
    }
}

/// No hook panics on an object that says almost nothing, or null everywhere.
#[test]
fn hooks_survive_vacant_objects() {
    for def in catalogue() {
        for object in [json!({}), json!({"metadata": null, "spec": null, "status": null})] {
            let mut errors = FieldErrors::default();
            let mut new = object.clone();
            (def.strategy.default)(&mut new);
            (def.strategy.prepare_create)(&mut new);
            (def.strategy.prepare_unlabelled)(&mut new);
            (def.strategy.prepare_update)(&mut new, &object);
            (def.strategy.prepare_status)(&mut new, &object);
            (def.strategy.validate)(&object, &mut errors);
            (def.strategy.validate_create)(&object, &mut errors);
            (def.strategy.validate_update)(&object, &new, &mut errors);
            (def.strategy.validate_status)(&object, &new, &mut errors);
            (def.strategy.warnings)(&object);
            (def.strategy.create_warnings)(&object);
            for part in &def.parts {
                (part.keep)(&mut new, &object);
                (part.validate)(&new, &object, &mut errors);
            }
        }
    }
}

/// A cheap sequence of numbers: the same objects in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Any value that the schema allows by type: what hooks get after decoding.
fn any(schema: &Schema, depth: usize, dice: &mut Dice) -> Value {
    const TEXTS: [&str; 12] = [
        "",
        "a",
        "None",
        "10.0.0.1",
        "fd00::1",
        "Indexed",
        "Never",
        "LoadBalancer",
        "é/ü",
        "..",
        "%",
        "Localhost",
    ];
    let text = |dice: &mut Dice| json!(TEXTS[dice.roll(12) as usize]);
    let number = |dice: &mut Dice| json!([0, 1, -1, 80, 70_000, i64::MAX][dice.roll(6) as usize]);
    match &schema.shape {
        Shape::Boolean => json!(dice.roll(2) == 0),
        Shape::Integer { .. } => number(dice),
        Shape::Number => json!(0.5),
        Shape::Quantity => json!(["0", "1", "-1", "500m", "2Gi", "1n"][dice.roll(6) as usize]),
        Shape::IntOrString if dice.roll(2) == 0 => number(dice),
        Shape::IntOrString => json!(["25%", "x", "101%", ""][dice.roll(4) as usize]),
        Shape::Time | Shape::MicroTime => json!("2026-01-01T00:00:00Z"),
        Shape::Bytes => json!("aGk="),
        Shape::Duration => json!("1h0m0s"),
        Shape::String => text(dice),
        Shape::Any => [Value::Null, json!({"a": 1}), json!([1])][dice.roll(3) as usize].clone(),
        Shape::Object(_) | Shape::Map(_) | Shape::List(_) if depth == 0 => Value::Null,
        Shape::Object(object) => {
            let mut out = serde_json::Map::new();
            for (name, field) in &object.fields {
                if field.required || dice.roll(3) == 0 {
                    out.insert(name.to_string(), any(&field.schema, depth - 1, dice));
                }
            }
            Value::Object(out)
        }
        Shape::Map(map) => {
            let key = text(dice).as_str().unwrap_or("").to_owned();
            json!({ key: any(&map.values, depth - 1, dice) })
        }
        Shape::List(list) => (0..dice.roll(3)).map(|_| any(&list.items, depth - 1, dice)).collect(),
    }
}

/// No hook panics, whatever well-typed objects say.
#[test]
fn hooks_survive_any_object() {
    let mut dice = Dice(7);
    for def in catalogue() {
        let mut old = json!({});
        for _ in 0..60 {
            let mut new = any(&def.schema, 9, &mut dice);
            let mut errors = FieldErrors::default();
            (def.strategy.default)(&mut new);
            (def.strategy.prepare_create)(&mut new);
            (def.strategy.prepare_unlabelled)(&mut new);
            (def.strategy.prepare_update)(&mut new, &old);
            (def.strategy.prepare_status)(&mut new, &old);
            if let Some(claims) = def.claims {
                (claims.allocate)(&mut new, None, &TestPool(Cell::new(0)), &mut errors);
                (claims.allocate)(&mut new, Some(&old), &TestPool(Cell::new(0)), &mut errors);
                (claims.held)(&new);
            }
            if let Some(convert) = def.convert {
                (convert.to_storage)(&mut new);
                (convert.from_storage)(&mut new);
            }
            (def.strategy.validate)(&new, &mut errors);
            (def.strategy.validate_create)(&new, &mut errors);
            (def.strategy.validate_update)(&new, &old, &mut errors);
            (def.strategy.validate_status)(&new, &old, &mut errors);
            (def.strategy.warnings)(&new);
            (def.strategy.create_warnings)(&new);
            for part in &def.parts {
                let mut new = new.clone();
                (part.validate)(&new, &old, &mut errors);
                (part.keep)(&mut new, &old);
                (part.validate)(&new, &old, &mut errors);
            }
            (def.strategy.blocks_deletion)(&new);
            (def.strategy.mark_deleted)(&mut new);
            if let Row::Function(row) = &def.table.row {
                row(&new, "2026-01-01T01:00:00Z".parse().unwrap());
            }
            if let Some(grace) = def.strategy.grace {
                assert!(grace(&new, Some(-5)) >= 0);
            }
            old = new;
        }
    }
}

/// Decoding, defaulting and preparing an object that is already complete changes nothing.
#[test]
fn defaults_are_stable() {
    let mut dice = Dice(11);
    for def in catalogue() {
        for _ in 0..20 {
            let mut once = any(&def.schema, 9, &mut dice);
            default::default_values(&def.schema, &mut once);
            (def.strategy.default)(&mut once);
            let mut twice = once.clone();
            default::default_values(&def.schema, &mut twice);
            (def.strategy.default)(&mut twice);
            assert_eq!(once, twice, "{}", def.gvk);
        }
    }
}
