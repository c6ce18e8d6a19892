#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heartline_fuzz::rows::rows(data));
