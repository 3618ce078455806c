//! Generations of the group secret from libFuzzer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    warren_fuzz::formats::pki_secret(bytes);
});
