#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heartline_fuzz::decoders::sends(data));
