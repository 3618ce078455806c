//! One member by hand: to whom it subscribes, and whom it tells.

use super::alarm::TELL_PAUSE;
use super::*;
use crate::wire::record::Intent;

fn id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 20])
}

/// A watch with what surrounds it.
struct Member {
    watch: Watch,
    rng: Rng,
    now: Instant,
}

impl Member {
    fn new() -> Member {
        Member { watch: Watch::new(id(0)), rng: Rng::new([1; 32]), now: Instant::ZERO }
    }

    fn act(&mut self, f: impl FnOnce(&mut Watch, &mut Context<'_>)) -> Vec<Effect> {
        let mut effects = Vec::new();
        let (now, rng) = (self.now, &mut self.rng);
        f(&mut self.watch, &mut Context { now, rng, effects: &mut effects });
        effects
    }

    /// Lets time pass; gives what was done meanwhile.
    fn run(&mut self, time: Duration) -> Vec<Effect> {
        let end = self.now + time;
        let mut all = Vec::new();
        while let Some(at) = self.watch.deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            all.extend(self.act(Watch::handle_timeout));
        }
        self.now = end;
        all
    }

    fn answer(&mut self, question: Question, answer: Answer) -> Vec<Effect> {
        self.act(|watch, cx| watch.handle_answer(question, answer, cx))
    }

    fn find(&mut self, question: Question, owner: NodeId, payload: &[u8]) -> Vec<Effect> {
        let record = Record {
            key: question.key(),
            owner,
            seq: 1,
            expiry: pki::UnixTime(1_800_000_000),
            intent: Intent::Write,
            payload: payload.to_vec(),
            signature: Vec::new(),
        };
        self.act(|watch, cx| watch.handle_found(question, record, cx))
    }

    /// Reviews these sessions until nothing more is asked, and answers that all is stored.
    fn review(&mut self, linked: &[Linked]) -> Vec<NodeId> {
        let mut subscribed = Vec::new();
        loop {
            let asked = subscriptions(&self.act(|watch, cx| watch.review(linked.to_vec(), cx)));
            if asked.is_empty() {
                return subscribed;
            }
            for &peer in &asked {
                self.answer(Question::Subscribe(peer), Answer::Done);
            }
            subscribed.extend(asked);
        }
    }
}

fn linked(n: u8, is_structured: bool) -> Linked {
    Linked { peer: id(n), since: Instant::ZERO, is_structured }
}

fn questions(effects: &[Effect]) -> Vec<Question> {
    let question = |effect: &Effect| match effect {
        Effect::Ask { question, .. } => Some(*question),
        _ => None,
    };
    effects.iter().filter_map(question).collect()
}

fn subscriptions(effects: &[Effect]) -> Vec<NodeId> {
    let peer = |question| match question {
        Question::Subscribe(peer) => Some(peer),
        _ => None,
    };
    questions(effects).into_iter().filter_map(peer).collect()
}

fn told(effects: &[Effect]) -> Vec<NodeId> {
    let node = |effect: &Effect| match effect {
        Effect::Notify { node, .. } => Some(*node),
        _ => None,
    };
    effects.iter().filter_map(node).collect()
}

#[test]
fn unit_rv_02_links_of_the_ring_come_first_nearest_first_and_never_more_than_there_is_room() {
    let mut member = Member::new();
    member.now = Instant::ZERO + SETTLED;
    let of_traffic = (100..180).map(|n| linked(n, false));
    let of_ring = [90, 3, 60].map(|n| linked(n, true));
    let mut all: Vec<Linked> = of_traffic.chain(of_ring).collect();
    let subscribed = member.review(&all);
    assert_eq!(subscribed[..3], [3, 60, 90].map(id));
    assert_eq!(subscribed.len(), ON_DEMAND_MAX);
    all.extend((4..40).map(|n| linked(n, true)));
    assert_eq!(member.review(&all).len(), SUBSCRIPTIONS_MAX - ON_DEMAND_MAX);
    assert!(member.watch.fills().all(|fill| fill.is_within()));

    // What lapses takes its room until no replica has it any more.
    let effects = member.act(|watch, cx| watch.handle_down(id(3), cx));
    assert_eq!(effects, [Effect::Lapse(subscribers_key(id(3)))]);
    all.retain(|linked| linked.peer != id(3));
    assert_eq!(member.review(&all), []);
    member.now += SUBSCRIPTION_TTL;
    assert_eq!(member.review(&all).len(), 1);
}

#[test]
fn unit_rv_02_a_new_session_is_looked_at_soon_and_subscribed_to_when_it_has_lasted() {
    let mut member = Member::new();
    member.act(|watch, cx| watch.handle_up(id(5), cx));
    let effects = member.run(2 * LOOK_PAUSE);
    assert_eq!(questions(&effects), [Question::Look(id(5))]);
    let young = [linked(5, true)];
    assert_eq!(member.review(&young), []);
    let effects = member.run(2 * SETTLED);
    assert!(effects.contains(&Effect::Review), "{effects:?}");
    assert_eq!(member.review(&young), [id(5)]);
    assert!(member.watch.is_subscribed(id(5)));
}

#[test]
fn unit_rv_03_a_stored_subscription_is_followed_by_a_look_and_what_is_found_goes_to_the_news() {
    let mut member = Member::new();
    member.now = Instant::ZERO + SETTLED;
    member.review(&[linked(5, true)]);
    let effects = member.run(Duration::ZERO);
    assert_eq!(questions(&effects), [Question::Look(id(5))]);
    let effects = member.find(Question::Look(id(5)), id(7), b"notice");
    assert_eq!(effects, [Effect::Take(b"notice".to_vec())]);
}

#[test]
fn unit_rv_03_a_failed_look_or_subscription_is_tried_again_while_there_is_a_session() {
    let mut member = Member::new();
    member.now = Instant::ZERO + SETTLED;
    let all = [linked(5, true)];
    member.act(|watch, cx| watch.handle_up(id(5), cx));
    member.run(2 * LOOK_PAUSE);
    member.answer(Question::Look(id(5)), Answer::Failed);
    assert_eq!(questions(&member.run(2 * RETRY_PAUSE)), [Question::Look(id(5))]);
    member.act(|watch, cx| watch.handle_down(id(5), cx));
    member.answer(Question::Look(id(5)), Answer::Failed);
    assert_eq!(questions(&member.run(2 * RETRY_PAUSE)), []);

    member.act(|watch, cx| watch.review(all.to_vec(), cx));
    let effects = member.answer(Question::Subscribe(id(5)), Answer::Failed);
    assert_eq!(effects, [Effect::Lapse(subscribers_key(id(5)))]);
    assert!(member.run(2 * RETRY_PAUSE).contains(&Effect::Review));
    assert_eq!(member.review(&all), [id(5)]);
}

#[test]
fn unit_rv_03_the_notice_is_written_first_and_every_subscriber_is_told_three_times() {
    let mut member = Member::new();
    let (victim, notice, list) = (id(9), b"notice".to_vec(), b"list".to_vec());
    let effects = member.act(|watch, cx| watch.raise(victim, notice.clone(), list.clone(), cx));
    let read = ask(Question::Subscribers(victim));
    let write = Effect::Ask { question: Question::Publish(victim), payload: notice };
    assert_eq!(effects, [write, read.clone()]);
    for subscriber in [1, 2, 2, 9, 0] {
        member.find(Question::Subscribers(victim), id(subscriber), b"");
    }
    let mut sent = told(&member.run(TELL_PAUSE / 2));
    assert_eq!(sent, [id(1), id(2)], "each once; neither the victim nor this node");
    let effects = member.answer(Question::Publish(victim), Answer::Done);
    assert_eq!(effects, [read], "who subscribed meanwhile is seen by the second read");
    member.find(Question::Subscribers(victim), id(3), b"");
    for _ in 0..2 {
        member.answer(Question::Subscribers(victim), Answer::Done);
    }
    sent.extend(told(&member.run(10 * TELL_PAUSE)));
    sent.sort();
    assert_eq!(sent, [1, 1, 1, 2, 2, 2, 3, 3, 3].map(id));
    assert_eq!(member.watch.deadline(), None);
    assert!(member.watch.fills().all(|fill| fill.used == 0));
}

#[test]
fn unit_rv_03_many_victims_are_announced_a_few_at_a_time_and_more_than_can_be_not_at_all() {
    let mut member = Member::new();
    let mut running = Vec::new();
    for n in 1..=80 {
        let effects = member.act(|watch, cx| watch.raise(id(n), vec![n], vec![n], cx));
        running.extend(questions(&effects));
        assert!(member.watch.fills().all(|fill| fill.is_within()));
    }
    assert_eq!(running.len(), 16, "write and read of eight");
    let mut announced = 0;
    while let Some(question) = running.pop() {
        announced += usize::from(matches!(question, Question::Publish(_)));
        let effects = member.answer(question, Answer::Done);
        running.extend(questions(&effects));
    }
    assert_eq!(announced, 64);
}

#[test]
fn unit_rv_03_a_notice_about_a_node_stands_under_the_key_of_that_node_only() {
    let now = pki::UnixTime(1_800_000_000);
    let authority = pki::CertificateAuthority::create("team", now).expect("a good name");
    let pinned = [authority.certificate().clone()];
    let mut trust = pki::Trust::new("team", &pinned, None).expect("own authority");
    let mut revoke = |what| authority.revoke(what, trust.ledger_mut(), now).expect("goes on");
    let (node, user) = (revoke(Revoked::Node(id(5))), revoke(Revoked::User("ana".into())));
    assert!(may_stand(&node, notices_key(id(5))) && !may_stand(&node, notices_key(id(6))));
    assert!(may_stand(&user, notices_key(id(5))));
}
