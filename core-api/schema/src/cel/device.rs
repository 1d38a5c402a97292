//! Expressions that choose devices: whoever allocates devices evaluates them, the server only checks them.
//!
//! Upstream: dynamic-resource-allocation `cel/compile.go`.

use super::{
    Environment, PER_CALL_LIMIT,
    types::{Kind, Type},
};
use std::sync::{Arc, LazyLock};

/// Most bytes of the domain and of the rest of an attribute's name, of a driver's name, and of an attribute's value.
const DOMAIN: u64 = 63;
const IDENTIFIER: u64 = 32;
const DRIVER: u64 = 63;
const VALUE: u64 = 64;
/// Most attributes and capacities of a device.
const ATTRIBUTES: u64 = 32;

/// Why an expression cannot choose devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It does not compile, or its values are no answer.
    Wrong(String),
    /// It may cost too much.
    TooComplex,
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    // Mathematical functions are called like methods of what has no other use.
    let environment = Environment::new([("device", device()), ("math", Type::DYN)]).with_bind();
    let numbers = ["dyn", "dyn, dyn", "dyn, dyn, dyn", "dyn, dyn, dyn, dyn"];
    let all = numbers.iter().flat_map(|numbers| ["greatest", "least"].map(|name| (name, numbers)));
    let environment = environment.with_function("includes", "dyn.(dyn) bool");
    all.fold(environment, |made, (name, numbers)| made.with_function(name, &format!("dyn.({numbers}) dyn")))
});

fn sized(kind: Kind, max: u64) -> Type {
    Type { max: Some(max), ..kind.into() }
}

/// Attributes have whatever type their device gives them.
fn attribute() -> Type {
    sized(Kind::Dyn, VALUE)
}

fn device() -> Type {
    let map = |key: u64, of: Type| sized(Kind::Map(Arc::new((sized(Kind::String, key), of))), ATTRIBUTES);
    let by_name = |of: Type| map(DOMAIN, map(IDENTIFIER, of));
    Type::object(
        "kubernetes.DRADevice",
        [
            ("driver", sized(Kind::String, DRIVER)),
            ("allowMultipleAllocations", sized(Kind::Bool, 1)),
            ("attributes", by_name(attribute())),
            ("capacity", by_name(Type::opaque("kubernetes.Quantity"))),
        ],
    )
}

/// Checks that an expression compiles, gives a truth value or one whose type only a device tells, and ends in time.
///
/// # Errors
/// What is wrong, in the words of CEL's compilers.
pub fn check_device_expression(text: &str) -> Result<(), Misfit> {
    let program =
        ENVIRONMENT.compile(text).map_err(|why| Misfit::Wrong(format!("compilation failed: {why}")))?;
    let found = program.output();
    if !matches!(found.kind, Kind::Bool | Kind::Dyn) {
        let text = format!("must evaluate to bool or the unknown type, not {found}");
        return Err(Misfit::Wrong(text));
    }
    if program.estimated_cost() > PER_CALL_LIMIT {
        return Err(Misfit::TooComplex);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Misfit, check_device_expression};

    #[test]
    fn what_a_device_has_is_known() {
        for fits in [
            "device.driver == 'gpu.example.com'",
            "device.attributes['gpu.example.com'].model == 'a'",
            "device.attributes['gpu.example.com'].isGood",
            "device.capacity['gpu.example.com'].memory.compareTo(quantity('1Gi')) >= 0",
            "cel.bind(a, device.attributes['x'], a.one && a.two)",
            "device.allowMultipleAllocations",
        ] {
            assert_eq!(check_device_expression(fits), Ok(()), "{fits}");
        }
    }

    #[test]
    fn what_it_has_not_is_refused() {
        for (text, why) in [
            ("device.name == 'a'", "undefined field 'name'"),
            ("device.driver == 1", "no matching overload for '_==_'"),
            ("device.capacity['a'].b > 5", "no matching overload for '_>_'"),
            ("node.name == 'a'", "undeclared reference to 'node'"),
            ("device.driver", "must evaluate to bool or the unknown type, not string"),
        ] {
            let Err(Misfit::Wrong(found)) = check_device_expression(text) else { panic!("{text}") };
            assert!(found.contains(why), "{text}: {found}");
        }
    }

    #[test]
    fn what_could_take_long_is_refused() {
        let each = "device.attributes.all(a, device.attributes.all(b, ";
        let text = format!("{}true{}", each.repeat(3), ")".repeat(6));
        assert_eq!(check_device_expression(&text), Err(Misfit::TooComplex));
    }
}
