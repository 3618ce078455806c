//! Two ends of a handshake over a channel that loses, repeats and reorders.

use super::*;
use crate::NodeId;
use crate::rng::Rng;
use crate::session::admission::{Silence, admit};
use crate::session::gate::open_probe;
use crate::session::keys::{DataReceiver, Sender};
use crate::session::null::{NullSuite, Sizes};
use crate::session::suite::Suite;
use crate::session::token::TokenMint;
use crate::session::{Epoch, LaneId};
use crate::time::{Now, UnixTime};
use crate::wire::frame;
use crate::wire::probe::{Probe, ProbeReply};
use pki::Refusal;

pub(in crate::session) const CLIENT: Index = Index(0x0100_0011);
pub(in crate::session) const SERVER: Index = Index(0x0200_0022);

pub(in crate::session) fn id(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 20])
}

fn now_at(instant: Instant) -> Now {
    Now { instant, unix: UnixTime(1_800_000_000) }
}

fn null(byte: u8) -> NullSuite {
    NullSuite::new(id(byte), Sizes::GROUP, b"test", &mut Rng::new([byte; 32]))
}

/// How a channel treats datagrams.
#[derive(Clone, Copy, Default)]
pub(in crate::session) struct Weather {
    pub loss: f64,
    pub duplicates: f64,
    /// Extra delay, uniform up to this: reorders.
    pub jitter: Duration,
}

const DELAY: Duration = Duration::from_millis(30);

/// Two handshakes and what flies between them, in virtual time. 0 is the client, 1 the server.
pub(in crate::session) struct Pair {
    pub now: Instant,
    rng: Rng,
    weather: Weather,
    ends: [Option<Handshake>; 2],
    server_exchange: Option<Box<dyn Exchange>>,
    mint: TokenMint,
    gate: Arc<Gate>,
    path: Path,
    flight: Vec<(Instant, usize, Vec<u8>)>,
    pub sent: [Vec<usize>; 2],
    pub outcomes: [Vec<Outcome>; 2],
}

impl Pair {
    pub fn new(
        client: Box<dyn Exchange>,
        server: Box<dyn Exchange>,
        weather: Weather,
        seed: u8,
    ) -> Self {
        Self::on(Path::Direct(([10, 0, 0, 1], 7415).into()), client, server, weather, seed)
    }

    pub fn on(
        path: Path,
        client: Box<dyn Exchange>,
        server: Box<dyn Exchange>,
        weather: Weather,
        seed: u8,
    ) -> Self {
        let gates = [(); 2].map(|()| Gate::new(&[4; 32]));
        Self::behind(gates, path, client, server, weather, seed)
    }

    /// The gates are those of the client and of the server.
    pub fn behind(
        gates: [Gate; 2],
        path: Path,
        client: Box<dyn Exchange>,
        server: Box<dyn Exchange>,
        weather: Weather,
        seed: u8,
    ) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let now = Instant::from_micros(1);
        let mut mint = TokenMint::new(&mut rng, now);
        let [clients, gate] = gates.map(Arc::new);
        let token = mint.mint(&path, CLIENT, now);
        let rtt = Rtt::default();
        let dial = Dial { path, token, gate: clients, local: CLIENT, inviter: None, rtt };
        Pair {
            now,
            rng,
            weather,
            ends: [Some(Handshake::client(client, dial, now)), None],
            server_exchange: Some(server),
            mint,
            gate,
            path,
            flight: Vec::new(),
            sent: Default::default(),
            outcomes: Default::default(),
        }
    }

    /// Runs until both ends are done, or nothing will happen any more.
    pub fn run(&mut self) {
        while !self.is_done() {
            self.drain();
            let arrival = self.flight.iter().map(|&(at, ..)| at).min();
            let deadline = self.ends.iter().flatten().map(Handshake::deadline).min();
            let next = arrival.into_iter().chain(deadline).min().unwrap_or(Instant::FAR_FUTURE);
            if next == Instant::FAR_FUTURE {
                return;
            }
            self.now = self.now.max(next);
            while let Some(at) = self.flight.iter().position(|&(at, ..)| at <= self.now) {
                let (_, end, datagram) = self.flight.remove(at);
                self.deliver(end, datagram);
            }
            self.drain();
        }
    }

    /// Runs until nothing is in flight or due but time limits.
    pub fn settle(&mut self) {
        self.run();
        let end = self.now + Duration::from_secs(2);
        while let Some(next) = self.flight.iter().map(|&(at, ..)| at).min().filter(|&at| at < end) {
            self.now = self.now.max(next);
            let at = self.flight.iter().position(|&(at, ..)| at <= self.now).expect("it was found");
            let (_, to, datagram) = self.flight.remove(at);
            self.deliver(to, datagram);
            self.drain();
        }
    }

    fn is_done(&self) -> bool {
        let ended = |outcomes: &Vec<Outcome>| {
            matches!(outcomes.last(), Some(Outcome::Refused { .. } | Outcome::TimedOut))
        };
        let up = |outcomes: &Vec<Outcome>| matches!(outcomes.last(), Some(Outcome::Established(_)));
        self.outcomes.iter().all(ended) || self.outcomes.iter().all(up)
    }

    fn drain(&mut self) {
        for end in 0..2 {
            let Some(handshake) = &mut self.ends[end] else { continue };
            while let Some(datagram) = handshake.poll_transmit(self.now) {
                self.sent[end].push(datagram.len());
                assert!(datagram.len() <= self.path.datagram_max());
                let copies = 1 + usize::from(self.rng.unit() < self.weather.duplicates);
                for _ in 0..copies {
                    if self.rng.unit() >= self.weather.loss {
                        let extra = self.weather.jitter.mul_f64(self.rng.unit());
                        self.flight.push((self.now + DELAY + extra, 1 - end, datagram.clone()));
                    }
                }
            }
            if let Some(outcome) = handshake.poll_outcome(self.now) {
                self.outcomes[end].push(outcome);
            }
        }
    }

    fn deliver(&mut self, end: usize, mut datagram: Vec<u8>) {
        if end == 1 && self.ends[1].is_none() {
            let gates = [Arc::clone(&self.gate)];
            let Ok(hello) = admit(&datagram, &self.path, &mut self.mint, &gates, self.now) else {
                return;
            };
            let exchange = self.server_exchange.take().expect("one server is made");
            let rtt = Rtt::default();
            let server = Handshake::server(exchange, &hello, &self.path, SERVER, rtt, self.now);
            self.ends[1] = Some(server);
        }
        if let Some(handshake) = &mut self.ends[end] {
            handshake.handle(&mut datagram, self.now);
        }
    }

    /// Both refusals, as (reason, whose).
    pub fn refusals(&self) -> [Option<(Failure, By)>; 2] {
        [0, 1].map(|end| match self.outcomes[end].last() {
            Some(&Outcome::Refused { why, by }) => Some((why, by)),
            _ => None,
        })
    }

    /// Asserts that both ends are up and that each opens what the other seals.
    pub fn assert_frames_pass(&mut self) {
        assert_eq!(self.frames_pass(), [true; 2]);
    }

    /// Whether the server opens what the client seals, and the other way round; both must be up.
    pub fn frames_pass(&mut self) -> [bool; 2] {
        let [client, server] = [0, 1].map(|end| match self.outcomes[end].pop() {
            Some(Outcome::Established(established)) => established.secrets,
            other => panic!("end {end}: {other:?}"),
        });
        [(&client, &server, SERVER), (&server, &client, CLIENT)].map(|(from, to, index)| {
            let mut sender =
                Sender::new(from.send.clone(), Epoch(0), LaneId::CONTROL, index, from.cipher);
            let mut receiver = DataReceiver::new(to.receive.clone(), Epoch(0), index, to.cipher);
            let mut datagram = Vec::new();
            sender.seal(&mut datagram, &[b"up"]).expect("a fresh key seals");
            let header = frame::Header::parse(&datagram).expect("own output");
            receiver.open(&header, &mut datagram, self.now).as_deref() == Ok(&b"up"[..])
        })
    }
}

fn null_pair(weather: Weather, seed: u8) -> Pair {
    let now = now_at(Instant::ZERO);
    let client = null(1).client(Some(id(2)), now).expect("never expires");
    let server = null(2).server(Some(id(1)), now).expect("never expires");
    Pair::new(client, server, weather, seed)
}

#[test]
fn a_handshake_takes_two_two_and_one_datagrams_and_an_acknowledgement() {
    let mut pair = null_pair(Weather::default(), 1);
    pair.settle();
    println!("null suite: client {:?}, server {:?}", pair.sent[0], pair.sent[1]);
    assert_eq!(pair.sent[0], [1200, 282, 692]);
    assert_eq!(pair.sent[1], [1200, 732, 34]);
    pair.assert_frames_pass();
}

#[test]
fn handshakes_complete_over_bad_channels() {
    for loss in [0.0, 0.05, 0.2, 0.4] {
        let weather = Weather { loss, duplicates: 0.1, jitter: Duration::from_millis(10) };
        let (mut datagrams, mut bytes, mut times) = (0, 0, Vec::new());
        for seed in 0..100 {
            let mut pair = null_pair(weather, seed);
            pair.run();
            datagrams += pair.sent.iter().map(Vec::len).sum::<usize>();
            bytes += pair.sent.iter().flatten().sum::<usize>();
            times.push(pair.now.as_micros() / 1000);
            pair.assert_frames_pass();
        }
        times.sort();
        println!(
            "loss {:2.0} %: {:4.1} datagrams, {:5} bytes, p50 {} ms, p95 {} ms, max {} ms",
            loss * 100.0,
            f64::from(datagrams as u32) / 100.0,
            bytes / 100,
            times[50],
            times[95],
            times[99]
        );
    }
}

#[test]
fn both_ends_learn_the_round_trip_and_never_from_a_flight_that_was_sent_twice() {
    let smoothed = |pair: &Pair| pair.ends.each_ref().map(|end| end.as_ref()?.rtt().smoothed());
    let mut pair = null_pair(Weather::default(), 1);
    pair.settle();
    assert_eq!(smoothed(&pair), [Some(DELAY * 2); 2]);

    let weather = Weather { loss: 0.3, duplicates: 0.1, ..Weather::default() };
    let mut unknown = 0;
    for seed in 0..100 {
        let mut pair = null_pair(weather, seed);
        pair.settle();
        for rtt in smoothed(&pair) {
            assert!(rtt.is_none_or(|rtt| rtt == DELAY * 2), "seed {seed}: {rtt:?}");
            unknown += usize::from(rtt.is_none());
        }
    }
    assert!((1..150).contains(&unknown), "{unknown} of 200");
}

#[test]
fn an_overlay_path_takes_smaller_datagrams() {
    let now = now_at(Instant::ZERO);
    let client = null(1).client(None, now).expect("never expires");
    let server = null(2).server(None, now).expect("never expires");
    let mut pair = Pair::on(Path::Overlay(id(2)), client, server, Weather::default(), 1);
    pair.settle();
    assert_eq!(pair.sent[0], [1100, 382, 692]);
    pair.assert_frames_pass();
}

#[test]
fn both_ends_learn_why_a_handshake_was_refused() {
    let now = now_at(Instant::ZERO);
    for loss in [0.0, 0.3] {
        let weather = Weather { loss, duplicates: 0.1, ..Weather::default() };
        let wrong = Failure::Refused(Refusal::WrongNode);
        let client = null(1).client(Some(id(9)), now).expect("never expires");
        let server = null(2).server(None, now).expect("never expires");
        let mut pair = Pair::new(client, server, weather, 3);
        pair.run();
        assert_eq!(pair.refusals(), [Some((wrong, By::Us)), Some((wrong, By::Peer))]);

        // The client is established first and then learns that the server refuses it.
        let client = null(1).client(None, now).expect("never expires");
        let server = null(2).server(Some(id(9)), now).expect("never expires");
        let mut pair = Pair::new(client, server, weather, 3);
        pair.run();
        assert!(matches!(pair.outcomes[0][0], Outcome::Established(_)));
        assert_eq!(pair.refusals(), [Some((wrong, By::Peer)), Some((wrong, By::Us))]);
    }
}

#[test]
fn a_dial_without_answer_times_out_and_falls_silent() {
    let mut pair = null_pair(Weather { loss: 1.0, ..Weather::default() }, 1);
    pair.run();
    assert!(matches!(pair.outcomes[0][..], [Outcome::TimedOut]));
    assert_eq!(pair.now, Instant::from_micros(1) + HANDSHAKE_TIME_MAX);
    // 0, 0.2, 0.6, 1.4, 2.4, … 9.4 s.
    assert_eq!(pair.sent[0].len(), 2 * 12);
}

#[test]
fn nothing_is_answered_before_token_and_gate_are_proven() {
    let mut pair = null_pair(Weather::default(), 1);
    let client = pair.ends[0].as_mut().expect("the client is there");
    let hello = client.poll_transmit(pair.now).expect("it speaks first");
    let gates = [Arc::clone(&pair.gate)];
    let mut judge = |datagram: &[u8], path: &Path, gates: &[Arc<Gate>]| {
        admit(datagram, path, &mut pair.mint, gates, pair.now).map(|hello| hello.client)
    };
    assert_eq!(judge(&hello, &pair.path, &gates), Ok(CLIENT));
    let elsewhere = Path::Direct(([10, 0, 0, 2], 7415).into());
    assert_eq!(judge(&hello, &elsewhere, &gates), Err(Silence::Token));
    let outsider = [Arc::new(Gate::public())];
    assert_eq!(judge(&hello, &pair.path, &outsider), Err(Silence::Gate));
    let mut generations: Vec<_> = (10..20).map(|n| Arc::new(Gate::new(&[n; 32]))).collect();
    generations.extend(gates.iter().cloned());
    assert_eq!(judge(&hello, &pair.path, &generations), Ok(CLIENT));
    for bit in 0..hello.len() * 8 {
        let mut bent = hello.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(judge(&bent, &pair.path, &gates).is_err(), "bit {bit}");
    }
    for end in 0..hello.len() {
        assert!(judge(&hello[..end], &pair.path, &gates).is_err(), "cut to {end}");
    }
}

#[test]
fn a_node_never_sends_more_than_it_got_before_the_path_is_proven() {
    for seed in 0..20 {
        let mut rng = Rng::new([seed; 32]);
        let now = Instant::ZERO;
        let mut mint = TokenMint::new(&mut rng, now);
        let gates = [Arc::new(Gate::new(&[4; 32])), Arc::new(Gate::public())];
        let mut pair = null_pair(Weather::default(), seed);
        let client = pair.ends[0].as_mut().expect("the client is there");
        let probe = Probe { dialler: CLIENT, id: id(1), target: None };
        let mut seen = vec![client.poll_transmit(pair.now).expect("it speaks first")];
        seen.extend(gates.iter().map(|gate| gate.seal_probe(&probe, rng.bytes())));
        for _ in 0..300 {
            let mut datagram = seen[rng.below(seen.len())].clone();
            for _ in 0..rng.below(3) {
                let at = rng.below(datagram.len());
                datagram[at] ^= 1 << rng.below(8);
            }
            datagram.truncate(1 + rng.below(3 * datagram.len()));
            // Each from another forged address: what a token was minted for never comes back.
            let source = ([10, 0, rng.below(256) as u8, rng.below(256) as u8], 7415);
            let path = Path::Direct(source.into());
            let answer = match frame::Kind::of(&datagram) {
                Some(frame::Kind::Probe) => open_probe(&gates, &datagram).map_or(0, |opened| {
                    let dialler = opened.message.dialler;
                    let token = mint.mint(&path, dialler, now);
                    let reply = ProbeReply { dialler, token };
                    gates[opened.gate].seal_reply(&reply, &opened.nonce).len()
                }),
                _ => {
                    assert!(admit(&datagram, &path, &mut mint, &gates, now).is_err());
                    0
                }
            };
            assert!(answer <= datagram.len(), "seed {seed}");
        }
    }
}

#[test]
fn an_invited_client_proves_the_path_with_the_inviters_index() {
    let (now, path) = (Instant::ZERO, Path::Direct(([10, 0, 0, 1], 7415).into()));
    let mut mint = TokenMint::new(&mut Rng::new([1; 32]), now);
    let gate = Arc::new(Gate::public());
    let token = mint.mint(&path, SERVER, now);
    let exchange = null(1).client(None, now_at(now)).expect("never expires");
    let dial = Dial {
        path,
        token,
        gate: Arc::clone(&gate),
        local: CLIENT,
        inviter: Some(SERVER),
        rtt: Rtt::default(),
    };
    let mut client = Handshake::client(exchange, dial, now);
    let datagram = client.poll_transmit(now).expect("it speaks first");
    let hello = admit(&datagram, &path, &mut mint, &[gate], now).expect("it was invited");
    assert_eq!((hello.client, hello.invited), (CLIENT, Some(SERVER)));
}

#[test]
fn hostile_datagrams_neither_panic_nor_stop_a_handshake() {
    for seed in 0..60 {
        let mut rng = Rng::new([seed; 32]);
        let mut pair = null_pair(Weather { duplicates: 0.2, ..Weather::default() }, seed);
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for _ in 0..40 {
            pair.drain();
            seen.extend(pair.flight.iter().map(|(_, _, datagram)| datagram.clone()));
            for _ in 0..20 {
                let mut bent = seen[rng.below(seen.len())].clone();
                for _ in 0..=rng.below(3) {
                    let at = rng.below(bent.len());
                    bent[at] ^= 1 << rng.below(8);
                }
                bent.truncate(1 + rng.below(2 * bent.len()));
                pair.deliver(rng.below(2), bent);
                pair.drain();
            }
            let Some(next) = pair.flight.iter().map(|&(at, ..)| at).min() else { break };
            pair.now = pair.now.max(next);
            let at = pair.flight.iter().position(|&(at, ..)| at <= next).expect("it was found");
            let (_, end, datagram) = pair.flight.remove(at);
            pair.deliver(end, datagram);
        }
        pair.run();
        pair.assert_frames_pass();
    }
}

#[test]
fn replayed_datagrams_cost_few_answers_and_never_a_second_nonce() {
    let mut pair = null_pair(Weather::default(), 1);
    pair.settle();
    let before = pair.sent[1].len();
    let [Some(client), Some(server)] = &mut pair.ends else { panic!("both ends are there") };
    server.number = Some(u16::MAX);
    let replay = |server: &mut Handshake, number, now| {
        // The client's sealed flight again, as it was sealed.
        let header = Header {
            cover: Cover::Sealed,
            refused: false,
            receiver: Some(SERVER),
            sender: CLIENT,
            number,
            offset: 0,
            acks: [0, 0],
        };
        let mut datagram = header.emit().to_vec();
        datagram.extend([1; 10]);
        let (clear, body) = datagram.split_at_mut(HEADER_LEN);
        let tag = client.exchange.seal(number, clear, body).expect("keys are there");
        datagram.extend(tag);
        server.handle(&mut datagram, now);
    };
    let mut answers = 0;
    for number in 0..1_000 {
        replay(server, number, pair.now);
        answers += usize::from(server.poll_transmit(pair.now).is_some());
    }
    let later = pair.now + ACK_DELAY;
    answers += usize::from(server.poll_transmit(later).is_some());
    assert_eq!((before, answers), (3, 1), "one acknowledgement for all of them");
    replay(server, 7, later);
    assert_eq!(server.poll_transmit(later + ACK_DELAY), None, "no number is left");
}
