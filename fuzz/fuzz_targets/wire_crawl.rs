//! What a crawl asks and is answered, from libFuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    warren_fuzz::formats::wire_crawl(bytes);
});
