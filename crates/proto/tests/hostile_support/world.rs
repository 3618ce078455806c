//! Two nodes with a live link, in virtual time, on a network where anybody may send from any address.
//!
//! Datagrams to either node take 10 ms. Whatever a node sends to another address goes to the strangers' mail,
//! and an account is kept for each of them: bytes that it sent, bytes that it was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use warren_proto::node::Footprint;
use warren_proto::node::api::{Access, Config, Event, Output, OverlayConfig};
use warren_proto::overlay::Instance;
use warren_proto::overlay::shortcut::Harmonic;
use warren_proto::path::Path;
use warren_proto::rng::Rng;
use warren_proto::rtt::Rtt;
use warren_proto::session::Index;
use warren_proto::session::aead::Cipher;
use warren_proto::session::gate::Gate;
use warren_proto::session::handshake::{Dial, Handshake};
use warren_proto::session::null::{NullSuite, Sizes};
use warren_proto::session::suite::Suite;
use warren_proto::session::tls::TlsSuite;
use warren_proto::session::token::Token;
use warren_proto::time::{Instant, Now};
use warren_proto::wire::probe::{Invite, Probe};
use warren_proto::{Node, NodeId, UnixTime};

const DELAY: Duration = Duration::from_millis(10);
/// Datagrams and time-outs in one stretch of time that no honest network comes near.
const STEPS_MAX: usize = 1_000_000;
const START: UnixTime = UnixTime(1_800_000_000);

/// The node that is attacked.
pub const VICTIM: usize = 0;
/// The node that it is linked with.
pub const FRIEND: usize = 1;

/// Where a node listens.
pub fn endpoint(node: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + node as u8], 7415))
}

/// How the nodes authenticate.
pub enum Group {
    /// The null suite, in the public overlay, where everybody passes the gate.
    Null {
        /// When the victim's identity ends.
        not_after: Option<UnixTime>,
    },
    /// TLS with member certificates, behind the gate of a group.
    Tls(Box<Authority>),
    /// TLS with raw keys, behind the gate of a pre-shared key.
    PreShared(pki::PreSharedKey),
}

/// The authority of a group.
pub struct Authority {
    authority: pki::CertificateAuthority,
    trust: pki::Trust,
    secret: pki::GroupSecret,
}

impl Group {
    pub fn null() -> Group {
        Group::Null { not_after: None }
    }

    pub fn tls() -> Group {
        let authority = pki::CertificateAuthority::create("team", START).expect("a good name");
        let ca = [authority.certificate().clone()];
        let trust = pki::Trust::new("team", &ca, None).expect("own group");
        let secret = pki::GroupSecret { generation: 1, key: [5; 32] };
        Group::Tls(Box::new(Authority { authority, trust, secret }))
    }

    pub fn pre_shared() -> Group {
        Group::PreShared(pki::PreSharedKey::from_bytes([5; 32]))
    }

    /// The suite of a member.
    pub fn suite(&self, n: u8) -> Box<dyn Suite> {
        match self {
            Group::Null { not_after } => {
                let mut rng = Rng::new([n; 32]);
                let id = NodeId::from_bytes(Rng::new([n ^ 0xa5; 32]).bytes());
                let suite = NullSuite::new(id, Sizes::GROUP, b"test", &mut rng);
                Box::new(match not_after {
                    Some(end) if n == VICTIM as u8 => suite.with_not_after(*end),
                    _ => suite,
                })
            }
            Group::Tls(group) => {
                let key = pki::PrivateKey::generate();
                let request = pki::Request::new(&key, None).expect("a good key");
                let options = pki::SignOptions::new(format!("user{n}"));
                let certificate = group.authority.sign(&request, &options, START);
                let certificate = certificate.expect("good options");
                let trust = group.trust.clone();
                let suite = TlsSuite::group(key, &certificate, trust, Cipher::Aes256Gcm);
                Box::new(suite.expect("the certificate is of this key"))
            }
            Group::PreShared(_) => {
                let key = pki::PrivateKey::generate();
                let suite = TlsSuite::pre_shared(key, "team", Cipher::Aes256Gcm);
                Box::new(suite.expect("a good key"))
            }
        }
    }

    fn access(&self) -> Access {
        match self {
            Group::Null { .. } => Access::Public,
            Group::Tls(group) => {
                let mut keyring = pki::Keyring::default();
                let signed = group.authority.sign_secret(group.secret.clone(), START);
                keyring.take(signed, &group.trust).expect("own secret");
                Access::Members(keyring)
            }
            Group::PreShared(key) => {
                Access::PreShared { group: "team".into(), keys: vec![key.clone()] }
            }
        }
    }

    /// The gate of the group. Strangers who have it are harder to bear than those who have not.
    pub fn gate(&self) -> Gate {
        match self {
            Group::Null { .. } => Gate::public(),
            Group::Tls(group) => Gate::group(&group.secret),
            Group::PreShared(key) => Gate::pre_shared(key, "team"),
        }
    }
}

/// Bytes that an address sent and was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    pub received: usize,
    pub sent: usize,
}

/// A datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// The nodes and their network.
pub struct World {
    pub group: Group,
    pub now: Instant,
    nodes: [Node; 2],
    waits: [Instant; 2],
    queue: BTreeMap<(Instant, u64), Datagram>,
    sequence: u64,
    /// Whether the friend is cut off.
    pub is_cut: bool,
    /// What the nodes sent each other, while this is some.
    pub capture: Option<Vec<Datagram>>,
    /// What happened, by node.
    pub events: Vec<(usize, Event)>,
    /// What strangers were sent since a test last looked.
    pub mail: Vec<(SocketAddr, Vec<u8>)>,
    /// What strangers sent and were sent.
    pub accounts: BTreeMap<SocketAddr, Account>,
}

impl World {
    /// Two nodes that have just linked, and everything they sent for it.
    pub fn new(group: Group) -> World {
        let start = Now { instant: Instant::ZERO, unix: START };
        let node = |n: usize| {
            let overlay = OverlayConfig {
                suite: group.suite(n as u8),
                access: group.access(),
                bootstrap: if n == VICTIM { vec![] } else { vec![endpoint(VICTIM)] },
                known: Vec::new(),
                shortcuts: Box::new(Harmonic),
            };
            Node::new(Config { overlays: vec![overlay], vpn: None }, [n as u8; 32], start)
                .expect("no virtual network to be wrong")
        };
        let mut world = World {
            nodes: [node(VICTIM), node(FRIEND)],
            group,
            now: Instant::ZERO,
            waits: [Instant::ZERO; 2],
            queue: BTreeMap::new(),
            sequence: 0,
            is_cut: false,
            capture: Some(Vec::new()),
            events: Vec::new(),
            mail: Vec::new(),
            accounts: BTreeMap::new(),
        };
        for n in [VICTIM, FRIEND] {
            world.with(n, |node, now| node.handle_endpoints(vec![endpoint(n)], now));
        }
        world.run_for(Duration::from_secs(5));
        assert!(world.is_linked());
        world
    }

    pub fn now(&self) -> Now {
        Now { instant: self.now, unix: START + (self.now - Instant::ZERO) }
    }

    pub fn node(&self, n: usize) -> &Node {
        &self.nodes[n]
    }

    pub fn footprint(&self) -> Footprint {
        self.nodes[VICTIM].footprint()
    }

    /// Whether each node has a session with the other.
    pub fn is_linked(&self) -> bool {
        let [a, b] = &self.nodes;
        let has = |one: &Node, other: &Node| one.links().session(Instance(0), other.id()).is_some();
        has(a, b) && has(b, a)
    }

    /// Since when the victim has its session with the friend: another handshake would change it.
    pub fn linked_since(&self) -> Option<Instant> {
        let [a, b] = &self.nodes;
        a.links().session(Instance(0), b.id()).map(|(_, session)| session.since)
    }

    /// Calls a node and carries out what it asks for.
    pub fn with(&mut self, n: usize, call: impl FnOnce(&mut Node, Now)) {
        let now = self.now();
        call(&mut self.nodes[n], now);
        loop {
            match self.nodes[n].poll() {
                Output::Wait(until) => break self.waits[n] = until,
                Output::Datagram { to, bytes } => self.send(endpoint(n), to, bytes),
                Output::Event(event) => self.events.push((n, event)),
                Output::Lane(_) | Output::Device(_) | Output::Answer(..) => {}
            }
        }
    }

    /// Puts a datagram on the network.
    pub fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let is_node = to == endpoint(VICTIM) || to == endpoint(FRIEND);
        if !is_node {
            if let Some(account) = self.accounts.get_mut(&to) {
                account.sent += bytes.len();
            }
            self.mail.push((to, bytes));
        } else if !self.is_cut {
            let datagram = Datagram { from, to, bytes };
            if let Some(capture) = &mut self.capture {
                capture.push(datagram.clone());
            }
            self.sequence += 1;
            self.queue.insert((self.now + DELAY, self.sequence), datagram);
        }
    }

    /// A stranger's datagram reaches a node, from whatever address it claims.
    pub fn inject(&mut self, n: usize, from: SocketAddr, bytes: &mut [u8]) {
        if let Some(account) = self.accounts.get_mut(&from) {
            account.received += bytes.len();
        }
        self.with(n, |node, now| node.handle_datagram(from, bytes, now));
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        let mut steps = 0;
        loop {
            steps += 1;
            assert!(steps < STEPS_MAX, "a node is due again and again: {:?}", self.waits);
            let arrival = self.queue.first_key_value().map(|(&(at, _), _)| at);
            let n = if self.waits[VICTIM] <= self.waits[FRIEND] { VICTIM } else { FRIEND };
            let at = self.waits[n].min(arrival.unwrap_or(Instant::FAR_FUTURE));
            if at > end {
                break self.now = end;
            }
            self.now = self.now.max(at);
            if arrival == Some(at) {
                let Some((_, Datagram { from, to, mut bytes })) = self.queue.pop_first() else {
                    continue;
                };
                let n = if to == endpoint(VICTIM) { VICTIM } else { FRIEND };
                self.with(n, |node, now| node.handle_datagram(from, &mut bytes, now));
            } else {
                self.with(n, Node::handle_timeout);
            }
        }
    }

    /// Nobody was sent more than it sent itself.
    pub fn assert_no_amplification(&self) {
        for (stranger, account) in &self.accounts {
            assert!(account.sent <= account.received, "{stranger}: {account:?}");
        }
    }
}

/// What a stranger does who receives at its own address.
impl World {
    /// Probes the victim with this index and returns the token that comes back.
    pub fn probe(&mut self, from: SocketAddr, index: Index) -> Token {
        let gate = self.group.gate();
        let id = NodeId::from_bytes([0x77; 20]);
        let nonce = index.0.to_be_bytes().repeat(3).try_into().expect("twelve bytes");
        let mut probe = gate.seal_probe(&Probe { dialler: index, id, target: None }, nonce);
        self.mail.clear();
        self.inject(VICTIM, from, &mut probe);
        let [(to, reply)] = &self.mail[..] else { panic!("one reply: {:?}", self.mail) };
        assert_eq!(*to, from);
        gate.open_reply(reply, &nonce).expect("the reply to this probe").token
    }

    /// Says a whole client hello with this token and never another word. `inviter` claims that the victim
    /// asked for it.
    pub fn say_hello(
        &mut self,
        from: SocketAddr,
        local: Index,
        inviter: Option<Index>,
        token: Token,
        suite: &mut dyn Suite,
    ) {
        let exchange = suite.client(None, self.now()).expect("own certificate is good");
        let gate = self.group.gate().into();
        let path = Path::Direct(endpoint(VICTIM));
        let dial = Dial { path, token, gate, local, inviter, rtt: Rtt::default() };
        let mut handshake = Handshake::client(exchange, dial, self.now);
        while let Some(mut datagram) = handshake.poll_transmit(self.now) {
            self.inject(VICTIM, from, &mut datagram);
        }
    }

    /// Invites the victim to start a handshake with the node `id` at this address.
    pub fn invite(&mut self, from: SocketAddr, index: Index, id: NodeId) {
        let proof = self.probe(from, index);
        let token = Token([9; Token::LEN]);
        let invite = Invite { dialler: index, id, proof, token };
        let nonce = index.0.to_be_bytes().repeat(3).try_into().expect("twelve bytes");
        let mut datagram = self.group.gate().seal_invite(&invite, nonce);
        self.inject(VICTIM, from, &mut datagram);
    }
}
