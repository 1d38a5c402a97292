//! Any text as a label or field selector: what is accepted prints as something that means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proa_meta::selector::{FieldSelector, Selector};

fuzz_target!(|text: &str| {
    if let Ok(selector) = Selector::parse(text) {
        let printed = selector.to_string();
        assert_eq!(Selector::parse(&printed).expect("own text").to_string(), printed);
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let printed = selector.to_string();
        assert_eq!(FieldSelector::parse(&printed).expect("own text"), selector);
    }
});
