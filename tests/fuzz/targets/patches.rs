//! `proa_fuzz::patches` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| proa_fuzz::patches(bytes));
