//! What an expression gets wrong about the kinds that a policy names.
//!
//! Upstream: apiserver `pkg/admission/plugin/policy/validating/typechecking.go`.

use super::declare::{self, Names};
use crate::{
    cel::{Environment, Kind, Type, object_type},
    schema::{SchemaRef, Shape},
};

/// Deeper parts of a kind are not described: schemas may contain themselves.
const DEEPEST: usize = 24;

/// The type of `params`.
#[derive(Clone, Copy, Debug)]
pub enum ParamsType<'a> {
    /// There is none.
    None,
    /// It is not served.
    Unknown,
    /// It is this.
    Known {
        /// Name of the kind.
        name: &'a str,
        /// Its schema.
        schema: &'a SchemaRef,
    },
}

/// Checks expressions for one kind of object.
#[derive(Debug)]
pub struct TypeChecker(Environment);

impl TypeChecker {
    /// For objects of a kind, with the policy's parameters and variables (names and expressions).
    pub fn new(kind: &str, schema: &SchemaRef, params: &ParamsType<'_>, variables: &[(&str, &str)]) -> Self {
        let object = of_schema(kind, schema, true, 0);
        let names = Names { params: !matches!(params, ParamsType::None), authorizer: true, variables: true };
        let params = match params {
            ParamsType::Known { name, schema } => of_schema(name, schema, true, 0),
            ParamsType::None | ParamsType::Unknown => Type::DYN,
        };
        let environment = |known: &[(&str, Type)]| {
            declare::environment(
                names,
                [object.clone(), object.clone()],
                params.clone(),
                known.to_vec(),
                false,
            )
        };
        let mut known: Vec<(&str, Type)> = Vec::with_capacity(variables.len());
        for (name, text) in variables {
            let ty = environment(&known).compile(text);
            known.push((name, ty.map_or(Type::DYN, |made| declare::of_variable(made.output()))));
        }
        Self(environment(&known))
    }

    /// What is wrong with an expression; none when nothing is.
    pub fn check(&self, text: &str) -> Option<String> {
        self.0.compile(text).err().map(|why| why.to_string())
    }
}

/// The type of a schema's values. What it does not say is known when evaluated.
fn of_schema(name: &str, schema: &SchemaRef, is_root: bool, depth: usize) -> Type {
    let below =
        |part: &str, schema: &SchemaRef| of_schema(&format!("{name}.{part}"), schema, false, depth + 1);
    if depth > DEEPEST {
        return Type::DYN;
    }
    match &schema.shape {
        Shape::Any | Shape::IntOrString | Shape::Quantity => Type::DYN,
        Shape::Boolean => Type::BOOL,
        Shape::Integer { .. } => Type::INT,
        Shape::Number => Kind::Double.into(),
        Shape::Bytes => Kind::Bytes.into(),
        Shape::Time | Shape::MicroTime => Kind::Timestamp.into(),
        Shape::String | Shape::Duration => {
            match schema.rules.as_ref().and_then(|rules| rules.format.as_deref()) {
                Some("byte") => Kind::Bytes.into(),
                Some("duration") => Kind::Duration.into(),
                Some("date" | "date-time") => Kind::Timestamp.into(),
                _ => Type::STRING,
            }
        }
        Shape::Map(map) => Type::map(Type::STRING, below("@values", &map.values)),
        Shape::List(list) => Type::list(below("@items", &list.items)),
        Shape::Object(_) if schema.preserve_unknown && !is_root => Type::DYN,
        Shape::Object(object) if object.fields.is_empty() && !is_root => match &object.additional {
            Some(values) => Type::map(Type::STRING, below("@values", values)),
            None => Type::DYN,
        },
        Shape::Object(object) => {
            let mut fields: Vec<(&str, Type)> =
                object.fields.iter().map(|(field, of)| (&**field, below(field, &of.schema))).collect();
            if is_root {
                let known = |name: &str| object.fields.contains_key(name);
                let texts = ["apiVersion", "kind"].into_iter().filter(|name| !known(name));
                fields.extend(texts.map(|name| (name, Type::STRING)));
                // Of custom kinds, the schema does not describe it.
                if !known("metadata")
                    || matches!(&object.fields["metadata"].schema.shape, Shape::Object(of) if of.fields.len() < 3)
                {
                    fields.retain(|(name, _)| *name != "metadata");
                    fields.push(("metadata", Type::DYN));
                }
            }
            object_type(name, fields)
        }
    }
}
