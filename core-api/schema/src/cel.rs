//! Expressions of the Common Expression Language over JSON objects: compiled once, evaluated on each object.
//!
//! Invariants: an expression that compiles names only variables and functions that exist here; evaluation has no
//! effects. Deliberately absent: static types (a wrong one shows when the expression is evaluated), upstream's cost
//! limits, its functions beyond the language's own and those on texts and lists, `authorizer`.
//! Upstream: apiserver `pkg/cel`, `pkg/admission/plugin/cel`.

use cel::{
    Context, Env, Program, Value as Cel,
    common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr},
    objects::{Key, Map},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

/// Variables of a webhook's match conditions.
pub const MATCH_CONDITION: [&str; 3] = ["object", "oldObject", "request"];

/// The names of functions; operators are spelt with other characters.
const FUNCTIONS: [&str; 36] = [
    "bool",
    "bytes",
    "charAt",
    "contains",
    "distinct",
    "double",
    "dyn",
    "endsWith",
    "flatten",
    "format",
    "hasValue",
    "indexOf",
    "int",
    "join",
    "lastIndexOf",
    "lowerAscii",
    "matches",
    "none",
    "of",
    "ofNonZeroValue",
    "or",
    "orValue",
    "replace",
    "reverse",
    "size",
    "slice",
    "sort",
    "split",
    "startsWith",
    "string",
    "substring",
    "trim",
    "type",
    "uint",
    "upperAscii",
    "value",
];
/// What stands for a type in an expression, and the namespace of optional values.
const CONSTANTS: [&str; 11] =
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "optional", "string", "uint"];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [cel::extensions::strings, cel::extensions::lists] {
        let added = env.add_extension(extension);
        debug_assert!(added.is_ok(), "extensions do not collide");
    }
    Arc::new(env)
});

/// A compiled expression.
#[derive(Debug)]
pub struct Expression(Program);

impl Expression {
    /// Compiles `text`, which may name `variables`.
    ///
    /// # Errors
    /// What is wrong, in the words of CEL's compilers.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, String> {
        compile(text, variables, &[]).map(Self)
    }

    /// Whether the expression is true of these values.
    ///
    /// # Errors
    /// It cannot be evaluated on them, or is no truth value.
    pub fn is_true(&self, variables: &[(&str, &Value)]) -> Result<bool, String> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        for (name, value) in variables {
            context.add_variable_from_value(*name, to_cel(value));
        }
        match self.0.execute(&context) {
            Ok(Cel::Bool(is_true)) => Ok(is_true),
            Ok(_) => Err("expected bool".to_owned()),
            Err(why) => Err(why.to_string()),
        }
    }
}

/// Whether `text` compiles where `functions` exist besides the language's own: for expressions that others evaluate.
///
/// # Errors
/// What is wrong, in the words of CEL's compilers.
pub fn check(text: &str, variables: &[&str], functions: &[&str]) -> Result<(), String> {
    compile(text, variables, functions).map(drop)
}

fn compile(text: &str, variables: &[&str], functions: &[&str]) -> Result<Program, String> {
    let shown = |errors: cel::ParseErrors| errors.to_string().replace("\n| ", "\n | ");
    let program = ENVIRONMENT.compile(text).map_err(shown)?;
    let root = program.expression();
    if matches!(root.expr, Expr::List(_) | Expr::Map(_) | Expr::Struct(_)) {
        return Err("must evaluate to bool".to_owned());
    }
    let mut names =
        Names { program: &program, text, known: variables.to_vec(), functions, problems: Vec::new() };
    names.walk(root);
    let problems = names.problems.join("\n");
    if problems.is_empty() { Ok(program) } else { Err(problems) }
}

/// Whole numbers are `int`, whatever their sign.
fn to_cel(value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(float)) => Cel::Float(float),
            (None, None) => Cel::Null,
        },
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(list) => Cel::List(Arc::new(list.iter().map(to_cel).collect())),
        Value::Object(members) => {
            let pair = |(key, value): (&String, &Value)| (Key::String(Arc::new(key.clone())), to_cel(value));
            Cel::Map(Map { map: Arc::new(members.iter().map(pair).collect::<HashMap<_, _>>()) })
        }
    }
}

/// Looks for names that nothing declares.
struct Names<'a> {
    program: &'a Program,
    text: &'a str,
    known: Vec<&'a str>,
    functions: &'a [&'a str],
    problems: Vec<String>,
}

impl<'a> Names<'a> {
    /// Shows the line with a mark below the name, as upstream.
    fn undeclared(&mut self, at: &IdedExpr, name: &str) {
        let offset = self.program.source_info().offset_for(at.id).map_or(0, |(start, _)| start);
        let before: String = self.text.chars().take(usize::try_from(offset).unwrap_or(0)).collect();
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        let shown = self.text.lines().nth(line).unwrap_or_default();
        self.problems.push(format!(
            "ERROR: <input>:{}:{}: undeclared reference to '{name}' (in container '')\n | {shown}\n | {}^",
            line + 1,
            column + 1,
            ".".repeat(column)
        ));
    }

    fn walk(&mut self, at: &'a IdedExpr) {
        match &at.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => {
                let is_declared = name.starts_with('@')
                    || self.known.contains(&name.as_str())
                    || CONSTANTS.contains(&name.as_str());
                if !is_declared {
                    self.undeclared(at, name);
                }
            }
            Expr::Call(call) => {
                call.target.iter().for_each(|target| self.walk(target));
                let name = call.func_name.as_str();
                let is_known = FUNCTIONS.contains(&name) || self.functions.contains(&name);
                if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !is_known {
                    self.undeclared(at, name);
                }
                call.args.iter().for_each(|argument| self.walk(argument));
            }
            Expr::Select(select) => self.walk(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element)),
            Expr::Map(map) => self.entries(&map.entries),
            Expr::Struct(made) => {
                self.undeclared(at, &made.type_name);
                self.entries(&made.entries);
            }
            Expr::Comprehension(over) => {
                self.walk(&over.iter_range);
                self.walk(&over.accu_init);
                let before = self.known.len();
                self.known.extend([over.iter_var.as_str(), over.accu_var.as_str()]);
                self.known.extend(over.iter_var2.as_deref());
                self.walk(&over.loop_cond);
                self.walk(&over.loop_step);
                self.walk(&over.result);
                self.known.truncate(before);
            }
        }
    }

    fn entries(&mut self, entries: &'a [IdedEntryExpr]) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::StructField(field) => self.walk(&field.value),
                EntryExpr::MapEntry(entry) => {
                    self.walk(&entry.key);
                    self.walk(&entry.value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(text: &str) -> Result<bool, String> {
        let object = json!({"metadata": {"name": "web", "labels": {"app": "a"}}, "spec": {"replicas": 3}});
        let request = json!({"operation": "CREATE", "userInfo": {"groups": ["a", "b"]}});
        let expression = Expression::compile(text, &MATCH_CONDITION)?;
        expression.is_true(&[("object", &object), ("oldObject", &Value::Null), ("request", &request)])
    }

    #[test]
    fn expressions_are_evaluated_on_objects() {
        for (text, want) in [
            ("object.metadata.name != 'skip-me'", true),
            ("object.metadata.name.startsWith('w') && object.metadata.name.matches('^w.b$')", true),
            ("object.spec.replicas + 1 > 4", false),
            ("has(object.metadata.labels) && object.metadata.labels.exists(k, k == 'app')", true),
            ("!request.userInfo.groups.all(group, group == 'a')", true),
            ("request.operation in ['CREATE', 'UPDATE']", true),
            ("oldObject == null", true),
            ("object.?metadata.?annotations.?x.orValue('none') == 'none'", true),
            ("'A'.lowerAscii() == 'a'", true),
        ] {
            assert_eq!(holds(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_does_not_compile_is_told() {
        for (text, part) in [
            ("... [] bad expression", "ERROR: <input>:1:"),
            (
                "authorizer.group('').resource('pods').check('get').allowed()",
                "undeclared reference to 'authorizer'",
            ),
            ("unknown == 1", "undeclared reference to 'unknown'"),
            ("object.metadata.name.foo()", "undeclared reference to 'foo'"),
            ("[1]", "must evaluate to bool"),
            ("object.items.all(x, x == y)", "undeclared reference to 'y'"),
        ] {
            let why = holds(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        let why = holds("object.a ==\n  1 + foo").unwrap_err();
        assert_eq!(
            why,
            "ERROR: <input>:2:7: undeclared reference to 'foo' (in container '')\n |   1 + foo\n | ......^"
        );
    }

    #[test]
    fn what_cannot_be_evaluated_is_an_error() {
        for text in ["object.metadata.missing == 'a'", "object.metadata.name", "1 / 0 == 1"] {
            assert!(holds(text).is_err(), "{text}");
        }
    }
}
