//! Any bytes as the protobuf of the kind that they name: refused or read, and what was read survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proa_crds::facts;
use proa_schema::{canonical::canonical, protobuf};

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = protobuf::Envelope::open(bytes) else { return };
    let (group, version) = envelope.api_version.split_once('/').unwrap_or(("", envelope.api_version));
    let Some(of) = facts::type_of(group, version, envelope.kind) else { return };
    let schema = facts::schema(of.name);
    let read = |bytes: &[u8]| {
        protobuf::decode(&schema, bytes).map(|mut value| {
            canonical(&schema, &mut value);
            value
        })
    };
    let Ok(value) = read(envelope.raw) else { return };
    let mut written = Vec::new();
    protobuf::encode(&schema, &value, &mut written);
    assert_eq!(read(&written).expect("own bytes"), value);
    let json = serde_json::to_vec(&value).expect("a value can be written");
    let mut from_text = Vec::new();
    protobuf::encode_json(&schema, &json, &mut from_text).expect("own JSON");
    assert_eq!(from_text, written);
});
