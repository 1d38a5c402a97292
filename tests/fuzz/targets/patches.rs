//! Any patch of any document: an error or an object, never a panic. Input is a file of the corpus:
//! `{"type", "doc", "patch"}`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proa_schema::{Schema, json, patch};

fuzz_target!(|bytes: &[u8]| {
    let Ok(parsed) = json::parse(bytes) else { return };
    let doc = parsed.value["doc"].clone();
    let body = parsed.value["patch"].clone();
    let text = body.to_string();
    let _ = patch::json_patch(doc.clone(), text.as_bytes());
    let mut merged = doc.clone();
    patch::merge(&mut merged, body.clone());
    let mut strategic = doc;
    let _ = patch::strategic(&Schema::default(), &mut strategic, body);
});
