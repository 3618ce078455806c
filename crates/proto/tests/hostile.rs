//! Mutated bytes against every parser: no panic, nothing kept, no more allocated than the bytes justify, and
//! what parses is emitted as the same bytes.
//!
//! Each format has a corpus of valid messages, which are bent in a fixed pseudo-random order
//! (`hostile_support/mutate.rs`), so that a failure repeats. A run tries 100,000 messages per format;
//! `WARREN_HOSTILE_ITERATIONS=10000000 cargo test -p warren-proto --test hostile`, which `make fuzz` runs too,
//! tries as many as one likes. Certificates, requests and blobs are no datagrams and slow to read: they get a share.

mod hostile_support;

use allocation_counter::measure;
use hostile_support::mutate::Mutator;
use hostile_support::rate::Stopwatch;
use hostile_support::{corpus, formats, iterations};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// What reading one message may allocate at once.
struct Allowance {
    fixed: u64,
    per_byte: u64,
}

/// Parsers of datagrams: the representation, and one copy by the emitter.
const DATAGRAM: Allowance = Allowance { fixed: 1_024, per_byte: 4 };
/// A lane with one session is made for each message.
const LANE: Allowance = Allowance { fixed: 2 * 1024, per_byte: 4 };
/// The X.509 reader keeps lists of extensions and names.
const CERTIFICATE: Allowance = Allowance { fixed: 64 * 1024, per_byte: 32 };
/// The YAML reader keeps events and anchors; certificates in it are read as well.
const BLOB: Allowance = Allowance { fixed: 1024 * 1024, per_byte: 256 };

/// Tries a `1 / share` of the asked number of mutations of `corpus`.
fn run(
    name: &str,
    check: fn(&[u8]) -> bool,
    mut corpus: Vec<Vec<u8>>,
    allowance: &Allowance,
    share: usize,
) {
    for message in &corpus {
        assert!(check(message), "{name}: a valid message is refused: {message:02x?}");
    }
    corpus.extend(corpus::noise());
    let count = (iterations() / share).max(1);
    let mut mutator = Mutator::new(corpus, 1);
    let (mut message, mut accepted, mut most) = (Vec::new(), 0, 0);
    let started = Stopwatch::start();
    for n in 0..count {
        mutator.next_into(&mut message);
        let mut outcome = Ok(false);
        let used = measure(|| outcome = catch_unwind(AssertUnwindSafe(|| check(&message))));
        match outcome {
            Ok(is_message) => accepted += usize::from(is_message),
            Err(panic) => {
                eprintln!("{name}: message {n} of {} bytes: {message:02x?}", message.len());
                resume_unwind(panic);
            }
        }
        let allowed = allowance.fixed + allowance.per_byte * message.len() as u64;
        assert!(used.bytes_max <= allowed, "{name}: {} bytes for {message:02x?}", used.bytes_max);
        assert_eq!(used.bytes_current, 0, "{name}: something is kept of {message:02x?}");
        most = most.max(used.bytes_max);
    }
    let rate = started.rate(count);
    println!("{name}: {count} messages, {accepted} accepted, {rate:.0}/s, at most {most} bytes");
    assert!((1..count).contains(&accepted), "the mutations reach neither more nor less than all");
}

#[test]
fn mutated_frames_are_refused_or_mean_what_they_say() {
    run("frame", formats::wire_frame, corpus::frames(), &DATAGRAM, 1);
}

#[test]
fn mutated_hellos_are_refused_or_mean_what_they_say() {
    run("hello", formats::wire_hello, corpus::hellos(), &DATAGRAM, 1);
}

#[test]
fn mutated_probes_are_refused_or_mean_what_they_say() {
    run("probe", formats::wire_probe, corpus::probes(), &DATAGRAM, 1);
}

#[test]
fn mutated_control_messages_are_refused_or_mean_what_they_say() {
    run("control", formats::wire_control, corpus::controls(), &DATAGRAM, 1);
}

#[test]
fn mutated_routed_messages_are_refused_or_mean_what_they_say() {
    run("routed", formats::wire_routed, corpus::routed(), &DATAGRAM, 1);
}

#[test]
fn mutated_connect_messages_are_refused_or_mean_what_they_say() {
    run("connect", formats::wire_connect, corpus::connects(), &DATAGRAM, 1);
}

#[test]
fn mutated_messages_of_a_crawl_are_refused_or_mean_what_they_say() {
    run("crawl", formats::wire_crawl, corpus::crawls(), &DATAGRAM, 1);
}

#[test]
fn mutated_lists_of_news_are_refused_or_mean_what_they_say() {
    run("news", formats::wire_news, corpus::news(), &DATAGRAM, 1);
}

#[test]
fn mutated_messages_of_the_hash_table_are_refused_or_mean_what_they_say() {
    run("dht", formats::wire_dht, corpus::dhts(), &DATAGRAM, 1);
}

#[test]
fn mutated_packets_are_refused_or_mean_what_they_say() {
    run("ip", formats::wire_ip, corpus::packets(), &DATAGRAM, 1);
}

#[test]
fn mutated_packets_that_a_member_seals_are_refused_or_mean_what_they_say() {
    run("data", formats::wire_data, corpus::data(), &LANE, 1);
}

#[test]
fn mutated_group_secrets_are_refused_or_mean_what_they_say() {
    run("secret", formats::pki_secret, corpus::secrets(), &DATAGRAM, 1);
}

#[test]
fn mutated_notices_are_refused_or_mean_what_they_say() {
    run("notice", formats::pki_notice, corpus::notices(), &DATAGRAM, 1);
}

#[test]
fn mutated_certificates_are_refused_or_mean_what_they_say() {
    run("certificate", formats::pki_certificate, corpus::certificates(), &CERTIFICATE, 10);
}

#[test]
fn mutated_requests_are_refused_or_mean_what_they_say() {
    run("request", formats::pki_request, corpus::requests(), &CERTIFICATE, 10);
}

#[test]
fn mutated_blobs_are_refused_or_mean_what_they_say() {
    run("blob", formats::pki_blob, corpus::blobs(), &BLOB, 100);
}

#[test]
fn mutated_messages_of_the_enrolment_are_refused_or_mean_what_they_say() {
    run("enrolment", formats::pki_enrolment, corpus::enrolments(), &CERTIFICATE, 10);
}
