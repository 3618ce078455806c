//! Frame keys: a chain of secrets per direction, a key per sending lane, counters and windows beside them.
//!
//! A handshake yields one [`ChainSecret`] per direction. Every epoch has its own, made from the one before by
//! HKDF (RFC 5869) without a message, and the former is wiped: who steals a node's memory cannot open what
//! was recorded before the last epochs. From it each sending lane takes its own key, so that no counter is
//! ever shared between threads.
//!
//! The control lane and every data lane hold their own [`Sender`] and [`Receiver`], made from the same
//! secrets. All lanes of a node go to the next epoch on the word of the control lane; [`EPOCH_OVERLAP`] covers
//! those that are late. A lane that reaches [`EPOCH_FRAMES_MAX`] asks for that word.
//!
//! Invariants: a counter never repeats under a key (a [`Sender`] is not `Clone`, its counter is only dropped
//! together with its epoch, and no epoch comes twice); a key and its window at the receiver live until their
//! epoch ends; nothing a forger sends changes a [`Receiver`].

use super::aead::{Cipher, Key};
use super::window::{CONTROL_WORDS, DATA_WORDS, Window};
use super::{Epoch, Index, LaneId};
use crate::time::Instant;
use crate::wire::frame::{HEADER_LEN, Header, OVERHEAD, TAG_LEN};
use aws_lc_rs::hkdf;
use std::fmt;
use std::time::Duration;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How long a node seals under one epoch: the time that a stolen key is worth. As WireGuard.
pub const EPOCH_LIFE: Duration = Duration::from_secs(120);
/// Frames of one lane after which the node goes to the next epoch early. A quarter of what a key may seal,
/// so that frames go on while lanes are told.
pub const EPOCH_FRAMES_MAX: u64 = 1 << 26;
/// How long frames of the epoch before are still opened: longer than any queue on the way holds them, and
/// longer than it takes to tell every lane.
pub const EPOCH_OVERLAP: Duration = Duration::from_secs(10);
/// Most epochs that one frame can be ahead of the receiver: an hour of silence is 30. Bounds the work that a
/// forged header causes to as many HMACs.
pub const EPOCHS_AHEAD_MAX: u8 = 64;
/// Frames that one key may seal: for packets of up to 2 KiB the confidentiality bound of AES-GCM in RFC 9001,
/// appendix B.1.1.
const KEY_FRAMES_MAX: u64 = 1 << 28;

const _: () = assert!(EPOCH_FRAMES_MAX * 4 <= KEY_FRAMES_MAX);

/// The secret of one direction in one epoch.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ChainSecret([u8; 32]);

impl ChainSecret {
    /// Starts a chain.
    pub fn new(secret: [u8; 32]) -> Self {
        ChainSecret(secret)
    }

    /// The secret of the next epoch; this one cannot be computed from it.
    #[must_use]
    pub fn next(&self) -> ChainSecret {
        ChainSecret(self.expand(b"warren next epoch", &[]))
    }

    /// The start of a chain that only who has `key` as well can make: HKDF with the key as salt.
    #[must_use]
    pub(super) fn mixed_with(&self, key: &hkdf::Salt) -> ChainSecret {
        let mut out = [0; 32];
        key.extract(&self.0)
            .expand(&[b"warren pre-shared chain"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out))
            .expect("32 bytes are less than HKDF can give");
        ChainSecret(out)
    }

    /// The key that `lane` seals with in this epoch.
    fn lane_key(&self, lane: LaneId, cipher: Cipher) -> Key {
        if cipher == Cipher::Null {
            let mut cheap = self.clone();
            cheap.0[0] ^= lane.get();
            return Key::new(cipher, &cheap.0);
        }
        let mut key = self.expand(b"warren lane key", &[lane.get()]);
        let made = Key::new(cipher, &key);
        key.zeroize();
        made
    }

    fn expand(&self, label: &[u8], context: &[u8]) -> [u8; 32] {
        let mut out = [0; 32];
        hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &self.0)
            .expand(&[label, context], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut out))
            .expect("32 bytes are less than HKDF can give");
        out
    }
}

impl fmt::Debug for ChainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChainSecret(..)")
    }
}

/// What a handshake leaves behind for frames.
#[derive(Clone, Debug)]
pub struct TrafficSecrets {
    /// Chain of the frames that this node seals.
    pub send: ChainSecret,
    /// Chain of the frames that this node opens.
    pub receive: ChainSecret,
    /// What both seal with.
    pub cipher: Cipher,
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key has sealed all that it may, or the chain has no further epoch.
    #[error("the key is used up")]
    Exhausted,
    /// The region does not hold the frame.
    #[error("the buffer is too small for the frame")]
    TooSmall,
}

/// Seals the frames of one session and lane.
#[derive(Debug)]
pub struct Sender {
    secret: ChainSecret,
    cipher: Cipher,
    epoch: Epoch,
    lane: LaneId,
    receiver: Index,
    counter: u64,
    key: Option<Key>,
}

impl Sender {
    /// A sender that starts with `secret`, which is that of `epoch`. At most one may ever be made for the same
    /// session, epoch and lane.
    pub fn new(
        secret: ChainSecret,
        epoch: Epoch,
        lane: LaneId,
        receiver: Index,
        cipher: Cipher,
    ) -> Self {
        Sender { secret, cipher, epoch, lane, receiver, counter: 0, key: None }
    }

    /// The epoch in which it seals.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Secret and epoch for the sender of another lane of the same session, made once per lane.
    pub fn chain(&self) -> (ChainSecret, Epoch) {
        (self.secret.clone(), self.epoch)
    }

    /// Frames sealed in this epoch; at [`EPOCH_FRAMES_MAX`] it is time for the next.
    pub fn frames_in_epoch(&self) -> u64 {
        self.counter
    }

    /// Goes to the next epoch. The last of a chain stays: the session needs a new handshake.
    pub fn advance(&mut self) -> Result<Epoch, SealError> {
        self.epoch = Epoch(self.epoch.0.checked_add(1).ok_or(SealError::Exhausted)?);
        self.secret = self.secret.next();
        self.counter = 0;
        self.key = None;
        Ok(self.epoch)
    }

    /// Appends the frame with the plaintext `parts`, one after another, to `out`.
    pub fn seal(&mut self, out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), SealError> {
        let start = out.len();
        out.reserve(OVERHEAD + length(parts));
        out.extend_from_slice(&[0; HEADER_LEN]);
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(&[0; TAG_LEN]);
        let sealed = self.seal_in_place(&mut out[start..]);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// Writes the frame with the plaintext `parts` to the front of `out` and returns its length.
    pub fn seal_into(&mut self, out: &mut [u8], parts: &[&[u8]]) -> Result<usize, SealError> {
        let total = OVERHEAD + length(parts);
        let frame = out.get_mut(..total).ok_or(SealError::TooSmall)?;
        let mut at = HEADER_LEN;
        for part in parts {
            frame[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.seal_in_place(frame)?;
        Ok(total)
    }

    /// Seals a frame whose plaintext is in place: `frame` is room for the header, plaintext, room for the tag.
    pub fn seal_in_place(&mut self, frame: &mut [u8]) -> Result<(), SealError> {
        let (header, rest) =
            frame.split_first_chunk_mut::<HEADER_LEN>().ok_or(SealError::TooSmall)?;
        let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>().ok_or(SealError::TooSmall)?;
        let counter = self.counter;
        if counter >= KEY_FRAMES_MAX {
            return Err(SealError::Exhausted);
        }
        self.counter += 1;
        *header =
            Header { lane: self.lane, epoch: self.epoch, receiver: self.receiver, counter }.emit();
        let key = self.key.get_or_insert_with(|| self.secret.lane_key(self.lane, self.cipher));
        *tag = key.seal(counter, header, body);
        Ok(())
    }
}

fn length(parts: &[&[u8]]) -> usize {
    parts.iter().map(|part| part.len()).sum()
}

/// Why a frame was not opened. Nothing changed at the receiver but the caller's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The frame names another session or receiving lane.
    #[error("the frame is not for this receiver")]
    Misdirected,
    /// A frame with this counter was opened already, or it is too old to tell.
    #[error("the frame is a replay")]
    Replay,
    /// The keys of its epoch are gone.
    #[error("the frame's epoch has ended")]
    OldEpoch,
    /// Its epoch is further ahead than any silence explains.
    #[error("the frame's epoch is too far ahead")]
    FarEpoch,
    /// It was not sealed by the peer, or changed on the way.
    #[error("the frame is forged or damaged")]
    BadTag,
}

/// Opens the frames that are for a data lane.
pub type DataReceiver = Receiver<DATA_WORDS>;
/// Opens the frames that are for the control lane.
pub type ControlReceiver = Receiver<CONTROL_WORDS>;

/// Opens the frames of one session that are for one lane, whichever of the peer's lanes sealed them. `WORDS` is
/// the size of its replay windows.
#[derive(Debug)]
pub struct Receiver<const WORDS: usize> {
    local: Index,
    cipher: Cipher,
    current: Generation<WORDS>,
    /// The epoch before and until when it is kept; boxed because most of the time there is none.
    previous: Option<Box<(Generation<WORDS>, Instant)>>,
}

/// One epoch of a receiver.
#[derive(Debug)]
struct Generation<const WORDS: usize> {
    epoch: Epoch,
    secret: ChainSecret,
    /// Sorted by first use; at most [`LaneId::COUNT`].
    lanes: Vec<Lane<WORDS>>,
}

/// One sending lane in one epoch.
#[derive(Debug)]
struct Lane<const WORDS: usize> {
    id: LaneId,
    key: Key,
    window: Window<WORDS>,
}

impl<const WORDS: usize> Receiver<WORDS> {
    /// A receiver of the frames for `local`, starting with the secret of `epoch`.
    pub fn new(secret: ChainSecret, epoch: Epoch, local: Index, cipher: Cipher) -> Self {
        Receiver {
            local,
            cipher,
            current: Generation { epoch, secret, lanes: Vec::new() },
            previous: None,
        }
    }

    /// The newest epoch from which a frame was opened.
    pub fn epoch(&self) -> Epoch {
        self.current.epoch
    }

    /// Secret and epoch for the receiver of another lane of the same session.
    pub fn chain(&self) -> (ChainSecret, Epoch) {
        (self.current.secret.clone(), self.current.epoch)
    }

    /// Decrypts `datagram`, of which `header` was parsed, in place and returns its plaintext.
    pub fn open<'a>(
        &mut self,
        header: &Header,
        datagram: &'a mut [u8],
        now: Instant,
    ) -> Result<&'a mut [u8], OpenError> {
        if header.receiver != self.local {
            return Err(OpenError::Misdirected);
        }
        self.expire(now);
        if header.epoch > self.current.epoch {
            return self.open_ahead(header, datagram, now);
        }
        let generation = match &mut self.previous {
            _ if header.epoch == self.current.epoch => &mut self.current,
            Some(previous) if header.epoch == previous.0.epoch => &mut previous.0,
            _ => return Err(OpenError::OldEpoch),
        };
        generation.open(self.cipher, header, datagram)
    }

    /// Forgets the epoch before once its overlap is over; also done by [`Receiver::open`].
    pub fn expire(&mut self, now: Instant) {
        if self.previous.as_ref().is_some_and(|previous| now >= previous.1) {
            self.previous = None;
        }
    }

    /// Goes to the epoch of a frame that is ahead, if it authenticates.
    fn open_ahead<'a>(
        &mut self,
        header: &Header,
        datagram: &'a mut [u8],
        now: Instant,
    ) -> Result<&'a mut [u8], OpenError> {
        let steps = header.epoch.0 - self.current.epoch.0;
        if steps > EPOCHS_AHEAD_MAX {
            return Err(OpenError::FarEpoch);
        }
        let secret = (1..steps).fold(self.current.secret.next(), |secret, _| secret.next());
        let mut ahead = Generation { epoch: header.epoch, secret, lanes: Vec::new() };
        let plaintext = ahead.open(self.cipher, header, datagram)?;
        let former = std::mem::replace(&mut self.current, ahead);
        self.previous = Some(Box::new((former, now + EPOCH_OVERLAP)));
        Ok(plaintext)
    }
}

impl<const WORDS: usize> Generation<WORDS> {
    fn open<'a>(
        &mut self,
        cipher: Cipher,
        header: &Header,
        datagram: &'a mut [u8],
    ) -> Result<&'a mut [u8], OpenError> {
        let (clear, sealed) = datagram.split_at_mut_checked(HEADER_LEN).ok_or(OpenError::BadTag)?;
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == header.lane) {
            if !lane.window.accepts(header.counter) {
                return Err(OpenError::Replay);
            }
            let plaintext =
                lane.key.open(header.counter, clear, sealed).map_err(|_| OpenError::BadTag)?;
            return if lane.window.accept(header.counter) {
                Ok(plaintext)
            } else {
                Err(OpenError::Replay)
            };
        }
        let mut lane = Lane {
            id: header.lane,
            key: self.secret.lane_key(header.lane, cipher),
            window: Window::new(),
        };
        let plaintext =
            lane.key.open(header.counter, clear, sealed).map_err(|_| OpenError::BadTag)?;
        if !lane.window.accept(header.counter) {
            return Err(OpenError::Replay);
        }
        self.lanes.reserve_exact(1);
        self.lanes.push(lane);
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests;
