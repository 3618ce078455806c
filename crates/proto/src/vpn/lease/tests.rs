//! How a node comes by its address, keeps it, and loses it.

use super::*;
use crate::rng::Rng;
use crate::vpn::MTU;
use crate::vpn::effect::Effects;
use crate::vpn::verdict::Mode;

const LIFE: Duration = Duration::from_secs(90);

/// A lease and what it needs, with the last claim at hand.
struct Claimer {
    lease: Lease,
    rng: Rng,
    effects: Effects,
    now: Instant,
}

fn ip(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, n)
}

impl Claimer {
    fn new(prefix: u8, policy: AddressPolicy) -> Self {
        let subnet = Subnet::new(ip(0), prefix).expect("a good prefix");
        let config = Config {
            group: "lab".into(),
            id: NodeId::from_bytes([7; 20]),
            subnet: Some(subnet),
            address: policy,
            lease: LIFE,
            mode: Mode::Split,
            mtu: MTU,
        };
        let lease = Lease::new(&config, subnet);
        let (rng, effects) = (Rng::new([1; 32]), Effects::default());
        let mut claimer = Claimer { lease, rng, effects, now: Instant::ZERO };
        claimer.with(|lease, cx| lease.start(cx));
        claimer
    }

    fn with(&mut self, act: impl FnOnce(&mut Lease, &mut Context<'_>)) {
        let (rng, effects) = (&mut self.rng, &mut self.effects);
        act(&mut self.lease, &mut Context { now: self.now, rng, effects });
    }

    /// The claims on their way.
    fn claims(&self) -> Vec<(Op, Ipv4Addr)> {
        match &self.lease.state {
            State::Claiming { claims } if !claims.is_empty() => claims.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn claim(&self) -> (Op, Ipv4Addr) {
        self.claims()[0]
    }

    fn answer(&mut self, answer: Answer) -> Ipv4Addr {
        let (op, address) = self.claim();
        self.with(|lease, cx| assert!(lease.handle_answer(op, &answer, cx)));
        address
    }

    /// Waits for the next try.
    fn wait(&mut self) -> Duration {
        let until = self.lease.deadline().expect("pausing");
        let pause = until.saturating_since(self.now);
        self.now = until;
        self.with(|lease, cx| lease.handle_timeout(cx));
        pause
    }

    fn events(&mut self) -> Vec<Event> {
        let events = self.effects.queue.drain(..).filter_map(|effect| match effect {
            Effect::Event(event) => Some(event),
            _ => None,
        });
        events.collect()
    }
}

#[test]
fn unit_ad_02_a_lease_outlives_its_owner_for_as_long_as_the_group_says() {
    let c = Claimer::new(24, AddressPolicy::Lease { preferred: None });
    let ttls: Vec<_> = c
        .effects
        .queue
        .iter()
        .map(|effect| match effect {
            Effect::Create { ttl, .. } => *ttl,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ttls, [LIFE]);
}

#[test]
fn unit_ad_05_the_address_of_the_last_run_is_tried_first_and_then_others() {
    let mut c = Claimer::new(24, AddressPolicy::Lease { preferred: Some(ip(77)) });
    assert_eq!(c.answer(Answer::Taken), ip(77));
    let other = c.answer(Answer::Created);
    assert_ne!(other, ip(77));
    assert_eq!(c.lease.address(), Some(other));
    assert_eq!(c.events(), [Event::Leased(other)]);
    assert_eq!(c.lease.deadline(), None, "the hash table renews");
}

#[test]
fn an_address_that_no_node_can_have_is_not_preferred() {
    let c = Claimer::new(24, AddressPolicy::Lease { preferred: Some(ip(1)) });
    assert_ne!(c.claim().1, ip(1));
}

#[test]
fn every_address_is_tried_once_before_the_subnet_counts_as_full() {
    let mut c = Claimer::new(28, AddressPolicy::Lease { preferred: None });
    let tried: BTreeSet<_> = (0..13).map(|_| c.answer(Answer::Taken)).collect();
    assert_eq!(tried.len(), 13);
    assert_eq!(c.events(), [Event::SubnetFull]);
    assert!(c.wait() >= REFUSED_PAUSE.mul_f64(0.7));
    let found = c.answer(Answer::Created);
    assert_eq!(c.events(), [Event::Leased(found)]);
}

#[test]
fn unit_ad_03_while_all_are_taken_more_and_more_are_tried_at_once_and_one_is_kept() {
    let mut c = Claimer::new(24, AddressPolicy::Lease { preferred: None });
    let mut widths = Vec::new();
    for _ in 0..5 {
        widths.push(c.claims().len());
        for _ in c.claims() {
            c.answer(Answer::Taken);
        }
    }
    assert_eq!(widths, [1, 2, 4, 8, 8]);

    let others: Vec<Op> = c.claims().into_iter().skip(1).map(|(op, _)| op).collect();
    c.effects.queue.clear();
    let found = c.answer(Answer::Created);
    assert_eq!(c.lease.address(), Some(found));
    let mut released = Vec::new();
    for effect in c.effects.queue.drain(..) {
        match effect {
            Effect::Release { op } => released.push(op),
            effect => assert!(matches!(effect, Effect::Event(Event::Leased(_))), "{effect:?}"),
        }
    }
    released.sort();
    assert_eq!(released, others);
    // An answer that was on its way changes nothing.
    c.with(|lease, cx| assert!(!lease.handle_answer(others[0], &Answer::Created, cx)));
    assert_eq!(c.lease.address(), Some(found));
}

#[test]
fn an_overlay_that_does_not_answer_is_asked_for_the_same_address_more_and_more_rarely() {
    let mut c = Claimer::new(24, AddressPolicy::Lease { preferred: Some(ip(9)) });
    let mut pauses = Vec::new();
    for _ in 0..10 {
        assert_eq!(c.answer(Answer::Unavailable), ip(9));
        pauses.push(c.wait());
    }
    assert!(pauses[0] < Duration::from_secs(2) && pauses[9] > Duration::from_secs(20));
    assert!(pauses.iter().all(|&pause| pause < Duration::from_secs(40)));
}

/// Its key may be tied: four replicas for one node, four for another.
#[test]
fn unit_ad_03_an_address_without_an_answer_is_exchanged_unless_it_is_that_of_the_last_run() {
    let mut c = Claimer::new(24, AddressPolicy::Lease { preferred: Some(ip(9)) });
    assert_eq!(c.answer(Answer::Taken), ip(9));
    let mut last = ip(9);
    for _ in 0..5 {
        let claims = c.claims();
        assert_eq!(claims.len(), 1, "an overlay that does not answer is not asked for more");
        assert!(claims[0].1 != last && claims[0].1 != ip(9));
        last = c.answer(Answer::Unavailable);
        c.wait();
    }
}

#[test]
fn clocks_that_differ_are_told_once_until_an_address_was_held() {
    let mut c = Claimer::new(24, AddressPolicy::Lease { preferred: Some(ip(9)) });
    for _ in 0..3 {
        assert_eq!(c.answer(Answer::ClocksDiffer), ip(9), "the same address is asked for again");
        c.wait();
    }
    assert_eq!(c.events(), [Event::ClocksDiffer]);
    assert_eq!(c.answer(Answer::Created), ip(9));
    assert_eq!(c.events(), [Event::Leased(ip(9))]);
}

#[test]
fn unit_ad_04_a_static_address_that_is_taken_is_refused_and_told_once() {
    let mut c = Claimer::new(24, AddressPolicy::Static(ip(5)));
    for _ in 0..3 {
        assert_eq!(c.answer(Answer::Taken), ip(5));
        assert_eq!(c.lease.address(), None);
        c.wait();
    }
    assert_eq!(c.events(), [Event::Taken(ip(5))]);
    c.answer(Answer::Created);
    assert_eq!(c.lease.address(), Some(ip(5)));
}

#[test]
fn a_pinned_address_is_ours_before_and_whatever_the_overlay_says() {
    let mut c = Claimer::new(24, AddressPolicy::Pinned(ip(5)));
    assert_eq!(c.lease.address(), Some(ip(5)));
    c.answer(Answer::Taken);
    assert_eq!(c.lease.address(), Some(ip(5)));
    assert_eq!(c.events(), [Event::Contested(ip(5))]);
}

#[test]
fn a_lease_lost_in_a_merge_is_replaced_by_another() {
    let mut c = Claimer::new(24, AddressPolicy::Lease { preferred: Some(ip(5)) });
    let (op, _) = c.claim();
    c.answer(Answer::Created);
    c.with(|lease, cx| lease.handle_lost(op, cx));
    assert_eq!(c.lease.address(), None);
    let other = c.answer(Answer::Created);
    assert_ne!(other, ip(5));
    assert_eq!(c.events(), [Event::Leased(ip(5)), Event::Lost(ip(5)), Event::Leased(other)]);
}
