//! Any bytes as a JSON or YAML body: refused or parsed, and what was parsed survives being written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proa_schema::json;

fuzz_target!(|bytes: &[u8]| {
    let _ = json::parse_yaml(bytes);
    if let Ok(parsed) = json::parse(bytes) {
        let written = serde_json::to_vec(&parsed.value).expect("a value can be written");
        assert_eq!(json::parse(&written).expect("own JSON").value, parsed.value);
    }
});
