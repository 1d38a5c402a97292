//! Any JSON as the schema of a CustomResourceDefinition: refused with field errors, or usable on any object.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proa_meta::{FieldErrors, FieldPath};
use proa_schema::{
    crd::{self, StatusSubresource},
    default::default_values,
    json,
    prune::{Root, prune},
    validate::validate_object,
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = json::parse(bytes) else { return };
    let mut errors = FieldErrors::default();
    let root = FieldPath::root("schema");
    let Some(schema) = crd::compile(&parsed.value, StatusSubresource::Served, &root, &mut errors) else {
        assert!(!errors.is_empty(), "a refusal says why");
        return;
    };
    let mut object = parsed.value;
    prune(&schema, &mut object, Root::Resource);
    default_values(&schema, &mut object);
    let once = object.clone();
    prune(&schema, &mut object, Root::Resource);
    default_values(&schema, &mut object);
    assert_eq!(object, once, "pruning and defaulting are done after one pass");
    validate_object(&schema, &object, None, &mut errors);
});
