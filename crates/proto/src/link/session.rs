//! A live session: its control lane, its path, and when something is due.

use super::Instance;
use super::liveness::Liveness;
use super::plpmtu::Plpmtu;
use crate::lane::NewSession;
use crate::path::Path;
use crate::session::handshake::Handshake;
use crate::session::keys::{
    ControlReceiver, EPOCH_LIFE, OpenError, SealError, Sender, TrafficSecrets,
};
use crate::session::suite::{Established, Peer};
use crate::session::{Epoch, Index, LaneId};
use crate::time::Instant;
use crate::wire::control::Welcome;
use crate::wire::frame::Header;
use std::time::Duration;

/// Age at which a session gets new keys by a new handshake; varied by a tenth, so that the sessions of a
/// node do not fall in step.
pub const REKEY_AFTER: Duration = Duration::from_secs(3600);
/// How long the sessions that lost against a newer one still receive: longer than frames are under way.
pub const RETIRE_AFTER: Duration = Duration::from_secs(10);
/// How long the holder of an ID has to answer before a newcomer of the same ID takes its place.
pub const HOLDER_PATIENCE: Duration = Duration::from_secs(2);
/// Age of a session after which its peer cannot take us for a newcomer any more.
pub const SETTLED_AFTER: Duration = Duration::from_secs(30);
/// Pause between two greetings until the other end's came.
pub const GREETING_PAUSE: Duration = Duration::from_millis(250);
/// How long the other end has for its first welcome. Who never says it would hold a slot for ever.
pub const GREETING_MAX: Duration = Duration::from_secs(10);
/// How long a new path has to prove itself, and how often at most paths are challenged.
pub const CHALLENGE_PAUSE: Duration = Duration::from_secs(1);

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its welcome is repeated until the other end's came.
    Greeting {
        /// When to repeat.
        again_at: Instant,
    },
    /// Another session holds the peer's ID: if that is silent until then, this one takes its place.
    Contending {
        /// When the holder loses.
        until: Instant,
    },
    /// It is the session with its peer.
    Current,
    /// Another took over; it only receives.
    Retiring {
        /// When it goes.
        until: Instant,
    },
}

/// A path that must prove itself before the session moves there.
#[derive(Clone, Copy, Debug)]
pub struct Challenge {
    /// The path.
    pub path: Path,
    /// What must come back by it.
    pub data: [u8; 8],
    /// When it was sent.
    pub at: Instant,
}

/// A session between this node and one peer.
#[derive(Debug)]
pub struct Session {
    /// The overlay it belongs to.
    pub instance: Instance,
    /// Who is at the other end.
    pub peer: Peer,
    /// How it is reached.
    pub path: Path,
    /// What the other end said first.
    pub welcome: Option<Welcome>,
    /// Where the session stands.
    pub stage: Stage,
    /// Welcomes that we sent unasked and whose answer did not come yet.
    pub greetings_out: u32,
    /// Is it alive?
    pub liveness: Liveness,
    /// How long a datagram does the path carry?
    pub plpmtu: Plpmtu,
    /// When it was made.
    pub since: Instant,
    /// A new path on trial.
    pub challenge: Option<Challenge>,
    /// Repeats lost flights until the first frame opens.
    pub handshake: Option<Box<Handshake>>,
    /// Of two sessions of the same nodes, the one of higher rank stays: the direct one, then the one whose client
    /// has the lower ID, then the one whose client started it later. Both ends see the same.
    pub rank: Rank,
    /// When new keys are due.
    pub rekey_at: Instant,
    /// When the control lane goes to the next epoch.
    pub epoch_at: Instant,
    index: Index,
    remote: Index,
    /// Epoch 0 of both directions, until the lane has them; boxed because that is soon.
    secrets: Option<Box<TrafficSecrets>>,
    sender: Sender,
    receiver: ControlReceiver,
}

/// See [`Session::rank`]; the fields are compared in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Whether it does not go through the overlay.
    pub direct: bool,
    /// Whether its client has the lower ID.
    pub lower_client: bool,
    /// Counts the sessions that its client began.
    pub generation: u32,
}

/// How a session came to be, from the view of this node.
#[derive(Debug)]
pub struct Origin {
    /// Overlay.
    pub instance: Instance,
    /// Path of the handshake.
    pub path: Path,
    /// Our index.
    pub index: Index,
    /// The other end's index.
    pub remote: Index,
    /// Whether the TLS client has the lower ID of the two.
    pub lower_client: bool,
    /// The handshake.
    pub handshake: Box<Handshake>,
}

impl Session {
    /// A session fresh from its handshake.
    pub fn new(
        origin: Origin,
        established: Established,
        liveness: Liveness,
        rekey_after: Duration,
        now: Instant,
    ) -> Self {
        let Established { peer, secrets } = established;
        let (lane, cipher) = (LaneId::CONTROL, secrets.cipher);
        let sender = Sender::new(secrets.send.clone(), Epoch(0), lane, origin.remote, cipher);
        let receiver =
            ControlReceiver::new(secrets.receive.clone(), Epoch(0), origin.index, cipher);
        Session {
            instance: origin.instance,
            peer,
            path: origin.path,
            welcome: None,
            stage: Stage::Greeting { again_at: now },
            greetings_out: 0,
            liveness,
            plpmtu: Plpmtu::default(),
            since: now,
            challenge: None,
            handshake: Some(origin.handshake),
            rank: Rank {
                direct: matches!(origin.path, Path::Direct(_)),
                lower_client: origin.lower_client,
                generation: 0,
            },
            rekey_at: now + rekey_after,
            epoch_at: now + EPOCH_LIFE,
            index: origin.index,
            remote: origin.remote,
            secrets: Some(Box::new(secrets)),
            sender,
            receiver,
        }
    }

    /// Our name for the session.
    pub fn index(&self) -> Index {
        self.index
    }

    /// Seals a control message.
    pub fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut frame = Vec::new();
        self.sender.seal(&mut frame, &[message])?;
        Ok(frame)
    }

    /// Opens a control frame.
    pub fn open<'a>(
        &mut self,
        header: &Header,
        datagram: &'a mut [u8],
        now: Instant,
    ) -> Result<&'a mut [u8], OpenError> {
        self.receiver.open(header, datagram, now)
    }

    /// What a data lane needs; given once.
    pub fn for_lane(&mut self) -> Option<NewSession> {
        Some(NewSession {
            peer: self.peer.id,
            index: self.index,
            receiver: self.remote,
            secrets: *self.secrets.take()?,
            path: self.path,
        })
    }

    /// Goes to the next epoch; false if the chain is used up and only a handshake helps.
    pub fn next_epoch(&mut self, now: Instant) -> bool {
        self.epoch_at = now + EPOCH_LIFE;
        self.receiver.expire(now);
        self.sender.advance().is_ok()
    }

    /// Whether this session may be used for sending to its peer.
    pub fn is_current(&self) -> bool {
        self.stage == Stage::Current
    }

    /// When something is due.
    pub fn deadline(&self) -> Instant {
        let stage = match self.stage {
            Stage::Greeting { again_at } => again_at,
            Stage::Contending { until } => until,
            Stage::Retiring { until } => return until,
            Stage::Current => Instant::FAR_FUTURE,
        };
        let handshake = self.handshake.as_ref().map_or(Instant::FAR_FUTURE, |h| h.deadline());
        let ends = self.liveness.deadline().min(self.plpmtu.deadline());
        stage.min(handshake).min(ends).min(self.epoch_at).min(self.rekey_at)
    }
}
