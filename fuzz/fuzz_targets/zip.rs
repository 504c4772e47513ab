#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| release_mk::fuzz::zip(bytes));
