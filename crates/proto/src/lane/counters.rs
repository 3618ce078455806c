//! Why packets go no further, at a lane or at its node, and how often: plain integers, one per reason.

/// Why a packet or frame goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// It is not exactly one IP packet, or not a frame.
    Malformed,
    /// It is for no single host.
    NotUnicast,
    /// The far end is not in the virtual network.
    OutsideSubnet,
    /// The far end is the service address, where nothing answers.
    ServiceAddress,
    /// The far end is ourselves.
    OwnAddress,
    /// It leaves from an address that is not ours.
    ForeignSource,
    /// It arrives for an address that is not ours.
    NotForUs,
    /// The far address does not belong to the session's peer: spoofed, if it arrives.
    NotTheOwner,
    /// It is longer than the virtual network carries.
    TooBig,
    /// Its session was replaced between verdict and seal.
    SessionGone,
    /// The key of the session has sealed all that it may.
    KeyExhausted,
    /// The frame was opened before, or is too old to tell.
    Replay,
    /// The frame's epoch has ended or is too far ahead.
    WrongEpoch,
    /// The frame was not sealed by the peer, or changed on the way.
    Forged,
    /// The frame does not fit the region it was to be sealed into.
    NoRoom,
    /// Too many packets wait already, so that the oldest had to make room.
    QueueFull,
    /// It waited for a session or a proof longer than a packet may.
    WaitedTooLong,
    /// Nobody has its destination, or whoever has it cannot be reached.
    NoSuchHost,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Reason; 18] = [
        Reason::Malformed,
        Reason::NotUnicast,
        Reason::OutsideSubnet,
        Reason::ServiceAddress,
        Reason::OwnAddress,
        Reason::ForeignSource,
        Reason::NotForUs,
        Reason::NotTheOwner,
        Reason::TooBig,
        Reason::SessionGone,
        Reason::KeyExhausted,
        Reason::Replay,
        Reason::WrongEpoch,
        Reason::Forged,
        Reason::NoRoom,
        Reason::QueueFull,
        Reason::WaitedTooLong,
        Reason::NoSuchHost,
    ];

    /// The word that status output and metrics use.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Malformed => "malformed",
            Reason::NotUnicast => "not_unicast",
            Reason::OutsideSubnet => "outside_subnet",
            Reason::ServiceAddress => "service_address",
            Reason::OwnAddress => "own_address",
            Reason::ForeignSource => "foreign_source",
            Reason::NotForUs => "not_for_us",
            Reason::NotTheOwner => "not_the_owner",
            Reason::TooBig => "too_big",
            Reason::SessionGone => "session_gone",
            Reason::KeyExhausted => "key_exhausted",
            Reason::Replay => "replay",
            Reason::WrongEpoch => "wrong_epoch",
            Reason::Forged => "forged",
            Reason::NoRoom => "no_room",
            Reason::QueueFull => "queue_full",
            Reason::WaitedTooLong => "waited_too_long",
            Reason::NoSuchHost => "no_such_host",
        }
    }
}

const _: () = {
    let mut n = 0;
    while n < Reason::ALL.len() {
        assert!(Reason::ALL[n] as usize == n);
        n += 1;
    }
};

/// How many packets each reason stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; Reason::ALL.len()]);

impl Drops {
    /// Counts one packet.
    pub fn count(&mut self, reason: Reason) {
        self.count_many(reason, 1);
    }

    /// Counts `n` packets.
    pub fn count_many(&mut self, reason: Reason, n: usize) {
        self.0[reason as usize] += n as u64;
    }

    /// Packets stopped for this reason.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.0)
    }

    /// Adds what somebody else counted.
    pub fn add(&mut self, other: &Drops) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}
