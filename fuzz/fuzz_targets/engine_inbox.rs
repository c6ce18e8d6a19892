#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| heartline_fuzz::engine::run::<heartline::processor::inbox::Inbox>(
    data
));
