//! `proa_fuzz::expressions` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proa_fuzz::expressions(bytes));
