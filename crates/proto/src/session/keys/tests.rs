//! Frames across epochs and lanes; what is forged or repeated changes nothing.

use super::*;
use crate::rng::Rng;

const CIPHERS: [Cipher; 3] = [Cipher::Aes256Gcm, Cipher::ChaCha20Poly1305, Cipher::Null];
const LOCAL: Index = Index(0x0100_0005);

fn secret() -> ChainSecret {
    ChainSecret::new([3; 32])
}

fn pair(cipher: Cipher) -> (Sender, DataReceiver) {
    let sender = Sender::new(secret(), Epoch(0), LaneId::CONTROL, LOCAL, cipher);
    (sender, DataReceiver::new(secret(), Epoch(0), LOCAL, cipher))
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn sealed(sender: &mut Sender, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    sender.seal(&mut out, &[text]).expect("a fresh key seals");
    out
}

fn open(receiver: &mut DataReceiver, frame: &[u8], now: Instant) -> Result<Vec<u8>, OpenError> {
    let mut datagram = frame.to_vec();
    let header = Header::parse(&datagram).expect("the frame is well formed");
    receiver.open(&header, &mut datagram, now).map(|plaintext| plaintext.to_vec())
}

#[test]
fn unit_se_01_replayed_and_forged_frames_are_rejected() {
    for cipher in CIPHERS {
        let (mut sender, mut receiver) = pair(cipher);
        let frame = sealed(&mut sender, b"payload");
        for byte in 4..frame.len() {
            let mut forged = frame.clone();
            forged[byte] ^= 0x10;
            let error = open(&mut receiver, &forged, at(0)).expect_err("forged");
            assert!(
                matches!(error, OpenError::BadTag | OpenError::Misdirected),
                "{cipher:?} byte {byte}: {error}"
            );
        }
        assert_eq!(open(&mut receiver, &frame, at(0)).as_deref(), Ok(&b"payload"[..]));
        assert_eq!(open(&mut receiver, &frame, at(0)), Err(OpenError::Replay));
        assert_eq!(receiver.epoch(), Epoch(0));
        let next = sealed(&mut sender, b"next");
        assert_eq!(open(&mut receiver, &next, at(0)).as_deref(), Ok(&b"next"[..]));
    }
}

#[test]
fn a_forged_counter_or_epoch_does_not_move_the_receiver() {
    let (mut sender, mut receiver) = pair(Cipher::Aes256Gcm);
    let frame = sealed(&mut sender, b"true");
    let mut far = frame.clone();
    far[8..16].copy_from_slice(&(u64::MAX - 1).to_be_bytes());
    assert_eq!(open(&mut receiver, &far, at(0)), Err(OpenError::BadTag));
    let mut ahead = frame.clone();
    ahead[2] = 9;
    assert_eq!(open(&mut receiver, &ahead, at(0)), Err(OpenError::BadTag));
    ahead[2] = EPOCHS_AHEAD_MAX + 1;
    assert_eq!(open(&mut receiver, &ahead, at(0)), Err(OpenError::FarEpoch));
    assert!(receiver.current.lanes.is_empty() && receiver.previous.is_none());
    assert_eq!(open(&mut receiver, &frame, at(0)).as_deref(), Ok(&b"true"[..]));
}

#[test]
fn lanes_have_keys_and_windows_of_their_own() {
    let (mut control, mut receiver) = pair(Cipher::Aes256Gcm);
    let mut data = Sender::new(secret(), Epoch(0), LaneId::FIRST_DATA, LOCAL, Cipher::Aes256Gcm);
    let (a, b) = (sealed(&mut control, b"same"), sealed(&mut data, b"same"));
    assert_ne!(a[HEADER_LEN..], b[HEADER_LEN..], "one counter, two lanes, two keys");
    assert!(open(&mut receiver, &a, at(0)).is_ok());
    assert!(open(&mut receiver, &b, at(0)).is_ok());
    let mut crossed = b.clone();
    crossed[1] = LaneId::CONTROL.get();
    crossed[15] = 1;
    assert_eq!(open(&mut receiver, &crossed, at(0)), Err(OpenError::BadTag));
}

#[test]
fn frames_of_the_epoch_before_open_for_the_overlap_only() {
    let (mut sender, mut receiver) = pair(Cipher::ChaCha20Poly1305);
    let early: Vec<_> = (0..3).map(|_| sealed(&mut sender, b"old")).collect();
    sender.advance().expect("the chain goes on");
    let new = sealed(&mut sender, b"new");
    assert!(open(&mut receiver, &early[0], at(0)).is_ok());
    assert!(open(&mut receiver, &new, at(1)).is_ok());
    assert!(open(&mut receiver, &early[1], at(2)).is_ok());
    assert_eq!(open(&mut receiver, &early[0], at(2)), Err(OpenError::Replay));
    assert_eq!(open(&mut receiver, &early[2], at(12)), Err(OpenError::OldEpoch));
    assert!(receiver.previous.is_none());
}

#[test]
fn every_frame_opens_once_across_epochs_however_reordered() {
    for seed in 0..20 {
        let mut rng = Rng::new([seed; 32]);
        let (mut sender, mut receiver) = pair(CIPHERS[usize::from(seed) % 3]);
        // Each frame may be late by up to a hundred others, an epoch lasts longer than that.
        let mut flight: Vec<(usize, u32, Vec<u8>)> = Vec::new();
        let mut epoch_ends = 150;
        for number in 0..2_000u32 {
            if number == epoch_ends {
                sender.advance().expect("fewer than 255 epochs");
                epoch_ends += 150 + rng.below(100) as u32;
            }
            let frame = sealed(&mut sender, &number.to_be_bytes());
            flight.push((number as usize + rng.below(100), number, frame));
        }
        flight.sort();
        for (time, number, frame) in &flight {
            let now = Instant::from_micros(*time as u64 * 500);
            let plaintext = open(&mut receiver, frame, now);
            assert_eq!(plaintext.as_deref(), Ok(&number.to_be_bytes()[..]), "seed {seed}");
            assert_eq!(open(&mut receiver, frame, now), Err(OpenError::Replay), "seed {seed}");
        }
        assert!(receiver.epoch() > Epoch(5));
    }
}

#[test]
fn a_silence_of_an_hour_is_caught_up() {
    let (mut sender, mut receiver) = pair(Cipher::Aes256Gcm);
    for _ in 0..30 {
        sender.advance().expect("fewer than 255 epochs");
    }
    let frame = sealed(&mut sender, b"back");
    assert!(open(&mut receiver, &frame, at(3_600)).is_ok());
    assert_eq!(receiver.epoch(), Epoch(30));
}

#[test]
fn counters_and_epochs_end_instead_of_wrapping() {
    let (mut sender, _) = pair(Cipher::Null);
    sender.counter = KEY_FRAMES_MAX - 1;
    let mut out = vec![1, 2, 3];
    assert_eq!(sender.seal(&mut out, &[b"last"]), Ok(()));
    let length = out.len();
    assert_eq!(sender.seal(&mut out, &[b"none"]), Err(SealError::Exhausted));
    assert_eq!(out.len(), length, "nothing is appended without a seal");
    while sender.epoch() < Epoch(255) {
        sender.advance().expect("not the last epoch");
        assert_eq!(sender.frames_in_epoch(), 0);
    }
    assert_eq!(sender.advance(), Err(SealError::Exhausted));
    assert_eq!(sender.epoch(), Epoch(255));
}

#[test]
fn a_frame_is_sealed_into_a_region_or_refused_whole() {
    let (mut sender, mut receiver) = pair(Cipher::Aes256Gcm);
    let mut region = [0; 64];
    assert_eq!(
        sender.seal_into(&mut region[..OVERHEAD + 4], &[b"abc", b"de"]),
        Err(SealError::TooSmall)
    );
    assert_eq!(sender.frames_in_epoch(), 0);
    let length = sender.seal_into(&mut region, &[b"abc", b"", b"de"]).expect("64 bytes hold it");
    assert_eq!(length, OVERHEAD + 5);
    assert_eq!(open(&mut receiver, &region[..length], at(0)).as_deref(), Ok(&b"abcde"[..]));
}

#[test]
fn secrets_are_not_printed_and_idle_sessions_are_small() {
    let (sender, receiver) = pair(Cipher::Aes256Gcm);
    let shown = format!("{sender:?} {receiver:?}");
    assert!(shown.contains("ChainSecret(..)") && !shown.contains("3, 3"));
    // The AEAD contexts of the library, about 600 bytes each, exist for lanes that were used in the epoch.
    let inline = size_of::<Sender>() + size_of::<DataReceiver>();
    let used = 2 * 610 + size_of::<Lane<DATA_WORDS>>();
    println!(
        "Sender {} B, Receiver {} B, receiving lane {} B; idle session with control and one data lane about {} B",
        size_of::<Sender>(),
        size_of::<DataReceiver>(),
        size_of::<Lane<DATA_WORDS>>(),
        2 * inline + used
    );
    assert!(2 * inline + used < 2_048);
}
