use super::*;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Allows `get` of secrets to everyone, and everything to one service account.
#[derive(Debug, Default)]
struct Rules(Mutex<Vec<String>>);

impl Authorize for Rules {
    fn authorize(&self, question: &Question<'_>) -> Answer {
        self.0.lock().unwrap().push(format!("{question:?}"));
        let allowed = match (question.service_account, question.about) {
            (Some(account), _) => account == ("default", "root"),
            (None, Checked::Resource(checks)) => checks.resource == "secrets" && question.verb == "get",
            (None, Checked::Path(path)) => path == "/healthz",
        };
        Answer { allowed, reason: "rules".to_owned(), error: String::new() }
    }
}

struct World {
    object: Value,
    request: Value,
    namespace: Value,
    params: Value,
    variables: Variables,
}

impl World {
    fn new(variables: Variables) -> Self {
        Self {
            object: json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 3, "names": ["a", "b"]}}),
            request: json!({"operation": "CREATE", "userInfo": {"username": "ann", "groups": ["dev"]}}),
            namespace: json!({"metadata": {"name": "default", "labels": {"team": "a"}}}),
            params: json!({"data": {"most": "2"}}),
            variables,
        }
    }
    fn scope(&self) -> Scope<'_> {
        let requested = Checks {
            group: "apps".to_owned(),
            resource: "deployments".to_owned(),
            name: "web".to_owned(),
            ..Checks::default()
        };
        let subject = Subject {
            object: &self.object,
            old: &Value::Null,
            request: &self.request,
            namespace: &self.namespace,
        };
        Scope::new(subject, &self.params, &self.variables, Arc::new(Rules::default()), &requested)
    }
}

/// A compiler with variables, and the world with them.
fn with(variables: &[(&str, &str)]) -> (Compiler, World) {
    let declared = || {
        let mut compiler = Compiler::new(true);
        for (name, text) in variables {
            let _ = compiler.declare(name, text);
        }
        compiler
    };
    (declared(), World::new(declared().into_variables()))
}

fn holds(variables: &[(&str, &str)], text: &str) -> Result<bool, String> {
    let (compiler, world) = with(variables);
    let expression = compiler.compile(text, Role::Validation)?;
    let scope = world.scope();
    expression.is_true(&scope)
}

#[test]
fn expressions_see_the_request_and_what_is_around_it() {
    for text in [
        "object.spec.replicas > int(params.data.most) && oldObject == null",
        "object.metadata.namespace == namespaceObject.metadata.name",
        "request.operation == 'CREATE' && request.userInfo.groups.exists(g, g == 'dev')",
        "namespaceObject.metadata.labels['team'] == 'a'",
        "quantity('1Gi').isGreaterThan(quantity('1Mi'))",
    ] {
        assert_eq!(holds(&[], text), Ok(true), "{text}");
    }
    assert_eq!(
        holds(&[], "object.spec.missing == 1").unwrap_err(),
        "expression 'object.spec.missing == 1' resulted in error: no such key: missing"
    );
}

#[test]
fn variables_use_those_before_them_and_are_of_their_types() {
    let variables =
        [("replicas", "object.spec.replicas"), ("double", "variables.replicas * 2"), ("names", "['a']")];
    assert_eq!(holds(&variables, "variables.double == 6 && variables.names.size() == 1"), Ok(true));
    let why = holds(&variables, "variables.names > 1").unwrap_err();
    assert!(why.contains("found no matching overload for '_>_' applied to '(list(string), int)'"), "{why}");
    let why = holds(&variables, "variables.later == 1").unwrap_err();
    assert!(why.contains("undefined field 'later'"), "{why}");
    let why = holds(&[], "variables.a == 1").unwrap_err();
    assert!(why.contains("undeclared reference to 'variables'"), "{why}");
}

#[test]
fn a_variable_that_fails_fails_only_who_needs_it() {
    let variables = [("bad", "object.spec.missing"), ("good", "1"), ("wrong", "variables.bad + 1")];
    assert_eq!(holds(&variables, "variables.good == 1 || variables.bad == 1"), Ok(true));
    assert_eq!(
        holds(&variables, "variables.bad == 1").unwrap_err(),
        "expression 'variables.bad == 1' resulted in error: composited variable \"bad\" fails to evaluate: no such key: \
         missing"
    );
    assert_eq!(
        holds(&variables, "variables.wrong == 1").unwrap_err(),
        "expression 'variables.wrong == 1' resulted in error: composited variable \"wrong\" fails to evaluate: composited \
         variable \"bad\" fails to evaluate: no such key: missing"
    );
    assert_eq!(
        holds(&[("broken", "1 +")], "variables.broken == 1").unwrap_err().split(": ").nth(1),
        Some("composited variable \"broken\" fails to compile")
    );
}

#[test]
fn the_authorizer_is_asked() {
    for (text, want) in [
        ("authorizer.group('').resource('secrets').namespace('a').name('b').check('get').allowed()", true),
        ("authorizer.group('').resource('secrets').check('list').allowed()", false),
        ("authorizer.group('').resource('pods').subresource('log').check('get').reason() == 'rules'", true),
        ("authorizer.path('/healthz').check('get').allowed()", true),
        ("authorizer.requestResource.check('update').allowed()", false),
        ("authorizer.serviceAccount('default', 'root').requestless().allowed()", false),
        (
            "authorizer.serviceAccount('default', 'root').group('').resource('pods').check('get').allowed()",
            true,
        ),
        ("authorizer.group('').resource('pods').labelSelector('a=b').check('get').errored()", false),
    ] {
        match holds(&[], text) {
            Ok(found) => assert_eq!(found, want, "{text}"),
            Err(why) => {
                assert!(
                    text.contains("requestless") && why.contains("undeclared reference"),
                    "{text}: {why}"
                );
            }
        }
    }
    let why = holds(&[], "authorizer.group('').resource(' ').check('get').allowed()").unwrap_err();
    assert!(why.ends_with("resulted in error: resource must not be empty"), "{why}");
    let why =
        holds(&[], "authorizer.serviceAccount('A_', 'b').path('/').check('get').allowed()").unwrap_err();
    assert!(why.ends_with("resulted in error: Invalid service account namespace"), "{why}");
}

#[test]
fn expressions_give_what_their_place_asks_for() {
    let compiler = Compiler::new(false);
    for (text, role, why) in [
        ("object.spec.paused", Role::Validation, "must evaluate to bool but got dyn"),
        ("1", Role::Message, "must evaluate to string but got int"),
        ("[1]", Role::Annotation, "must evaluate to one of [string null_type] but got list(int)"),
        ("object", Role::ApplyConfiguration, "must evaluate to Object but got dyn"),
        ("JSONPatch{op: 'a'}", Role::JsonPatch, "must evaluate to list(JSONPatch) but got JSONPatch"),
    ] {
        assert_eq!(compiler.compile(text, role).unwrap_err(), why, "{text}");
    }
    for (text, role, part) in [
        ("Object{}", Role::Variable, "undeclared reference to 'Object'"),
        ("params.a == 1", Role::Condition, "undeclared reference to 'params'"),
        ("authorizer.path('/').check('get').reason()", Role::Message, "undeclared reference to 'authorizer'"),
        ("request.nothing == 1", Role::Condition, "undefined field 'nothing'"),
        ("[JSONPatch{foo: 1}]", Role::JsonPatch, "undefined field 'foo'"),
        (
            "[JSONPatch{op: 1}]",
            Role::JsonPatch,
            "expected type of field 'op' is 'string' but provided type is 'int'",
        ),
    ] {
        let why = compiler.compile(text, role).unwrap_err();
        assert!(
            why.starts_with("compilation failed: ERROR: <input>:1:") && why.contains(part),
            "{text}: {why}"
        );
    }
}

#[test]
fn configurations_and_patches_become_json() {
    let (compiler, world) = with(&[("labels", "{'a': 'b'}")]);
    let configuration = |text: &str| {
        let expression = compiler.compile(text, Role::ApplyConfiguration).unwrap();
        let scope = world.scope();
        expression.configuration(&scope)
    };
    assert_eq!(
        configuration(
            "Object{metadata: Object.metadata{labels: variables.labels}, spec: Object.spec{replicas: object.spec.replicas + 1,
             same: Object.spec{a: 1}.a == 1, ?paused: optional.none(), parts: object.spec.names.map(n, Object.spec.parts{name: n})}}"
        ),
        Ok(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"replicas": 4, "same": true, "parts": [{"name": "a"}, {"name": "b"}]}}))
    );
    let why = configuration("Object{spec: Object.wrong{}}").unwrap_err();
    assert!(
        why.starts_with("type mismatch: unexpected type name \"Object.wrong\", expected \"Object.spec\""),
        "{why}"
    );

    let text = "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b~c'), value: [1, 2.5, null]},
        JSONPatch{op: 'move', from: '/a', path: '/b'},
        JSONPatch{op: 'add', path: '/spec', value: Object.spec{a: {'b': true}}}]";
    let expression = compiler.compile(text, Role::JsonPatch);
    // Elements of a list are of one type.
    assert!(expression.unwrap_err().contains("expected type 'int' but found 'double'"));
    let text = text.replace("1, 2.5, null", "1, 2");
    let misnamed = text.replace("{'b': true}", "Object.b{}");
    let expression = compiler.compile(&misnamed, Role::JsonPatch).unwrap();
    let why = expression.operations(&world.scope()).unwrap_err();
    assert!(why.contains("unexpected type name \"Object.b\", expected \"Object.spec.a\""), "{why}");
    let expression = compiler.compile(&text, Role::JsonPatch).unwrap();
    assert_eq!(
        expression.operations(&world.scope()),
        Ok(vec![
            json!({"op": "add", "path": "/metadata/labels/a~1b~0c", "value": [1, 2]}),
            json!({"op": "move", "path": "/b", "from": "/a"}),
            json!({"op": "add", "path": "/spec", "value": {"a": {"b": true}}}),
        ])
    );
}

#[test]
fn all_expressions_of_a_scope_share_a_budget() {
    let (compiler, mut world) = with(&[]);
    world.object["list"] = json!(vec!["x".repeat(64); 2000]);
    let text = "object.list.all(a, object.list.map(b, a).size() > 0)";
    let expression = compiler.compile(text, Role::Validation).unwrap();
    let scope = world.scope();
    let why = expression.is_true(&scope).unwrap_err();
    assert!(why.contains("cost limit exceeded"), "{why}");
    let last = (0..12).map(|_| expression.is_true(&scope).unwrap_err()).last().unwrap();
    assert_eq!(last, evaluate::OVER_BUDGET);
}

#[test]
fn types_of_a_kind_are_checked() {
    use crate::schema::{Field, ObjectShape, SchemaRef, Shape};
    let object = |fields: Vec<(&str, Shape)>| {
        let field = |shape| Field::new(SchemaRef::inline(crate::Schema::of(shape)));
        let fields = fields.into_iter().map(|(name, shape)| (name.into(), field(shape)));
        Shape::Object(ObjectShape { fields: fields.collect(), ..ObjectShape::default() })
    };
    let spec = object(vec![("replicas", Shape::Integer { bits: 32 }), ("amount", Shape::Quantity)]);
    let schema = SchemaRef::inline(crate::Schema::of(object(vec![("spec", spec)])));
    let params = ParamsType::Known { name: "Limit", schema: &schema };
    let checker = TypeChecker::new("Thing", &schema, &params, &[("most", "params.spec.replicas")]);
    for text in [
        "object.spec.replicas > 1 && oldObject.spec.replicas == variables.most",
        "object.metadata.labels.exists(l, l == object.metadata.namespace) && object.kind == 'Thing'",
        "object.spec.amount == '1'",
        "authorizer.requestResource.check('get').allowed()",
    ] {
        assert_eq!(checker.check(text), None, "{text}");
    }
    for (text, part) in [
        ("object.spec.replicas > '1'", "found no matching overload for '_>_' applied to '(int, string)'"),
        ("object.spec.maxRetries < 10", "undefined field 'maxRetries'"),
        ("params.data == 1", "undefined field 'data'"),
        ("variables.most + 'a' == ''", "found no matching overload for '_+_' applied to '(int, string)'"),
    ] {
        let why = checker.check(text).unwrap();
        assert!(why.starts_with("ERROR: <input>:1:") && why.contains(part), "{text}: {why}");
    }
}
