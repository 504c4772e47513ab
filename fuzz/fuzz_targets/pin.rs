#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| store::fuzz::pin(bytes));
