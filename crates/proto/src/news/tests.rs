//! One member and its peers, by hand: what it takes, asks, tells and refuses.

use super::take::Taken;
use super::*;
use crate::session::null::{NullSuite, Sizes};
use pki::{CertificateAuthority, GroupSecret, Notice, Revoked, SignedSecret, Trust};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn id(n: u8) -> NodeId {
    NodeId::from_bytes([n; 20])
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("team", NOW).expect("a good name")
}

fn trust(authority: &CertificateAuthority) -> Trust {
    Trust::new("team", &[authority.certificate().clone()], None).expect("own authority")
}

fn secret(authority: &CertificateAuthority, generation: u32) -> SignedSecret {
    authority.sign_secret(GroupSecret { generation, key: [generation as u8; 32] }, NOW)
}

/// A member with what surrounds it.
struct Member {
    news: News,
    suite: NullSuite,
    rng: Rng,
    now: Instant,
}

impl Member {
    fn new(authority: &CertificateAuthority) -> Member {
        let mut rng = Rng::new([1; 32]);
        let suite =
            NullSuite::new(id(0), Sizes::GROUP, b"test", &mut rng).with_trust(trust(authority));
        let mut keyring = Keyring::default();
        keyring.take(secret(authority, 1), &trust(authority)).expect("is good");
        Member { news: News::new(keyring), suite, rng, now: Instant::ZERO }
    }

    fn act<T>(&mut self, f: impl FnOnce(&mut News, &mut Context<'_>) -> T) -> (T, Vec<Effect>) {
        let mut effects = Vec::new();
        let now = Now { instant: self.now, unix: NOW };
        let (rng, suite) = (&mut self.rng, &mut self.suite);
        let done = f(&mut self.news, &mut Context { now, rng, suite, effects: &mut effects });
        (done, effects)
    }

    /// Hears a broadcast of a peer; says how often it is passed on.
    fn hear(&mut self, payload: &[u8]) -> usize {
        let broadcast = (payload, id(9), 3);
        let (_, effects) = self.act(|news, cx| {
            news.peers.entry(id(1)).or_default();
            news.handle_broadcast(id(1), broadcast, cx);
        });
        effects.iter().filter(|e| matches!(e, Effect::Spread { hops: 3, .. })).count()
    }

    /// Lets time pass for as long as something is due.
    fn idle(&mut self) -> Vec<Effect> {
        let mut all = Vec::new();
        while let Some(at) = self.news.deadline() {
            self.now = at;
            all.extend(self.act(News::handle_timeout).1);
        }
        all
    }
}

fn notices(authority: &CertificateAuthority, n: usize) -> Vec<Notice> {
    let mut own = trust(authority);
    let user = |n| Revoked::User(format!("user-{n}"));
    (0..n)
        .map(|n| authority.revoke(user(n), own.ledger_mut(), NOW).expect("the chain goes on"))
        .collect()
}

fn asks(effects: &[Effect]) -> usize {
    let is_ask = |message: &[u8]| matches!(Control::parse(message), Ok(Control::NewsAsk(_)));
    let asks =
        effects.iter().filter(|e| matches!(e, Effect::Send { message, .. } if is_ask(message)));
    asks.count()
}

fn pages(effects: &[Effect]) -> Vec<Vec<u8>> {
    let items = |effect: &Effect| match effect {
        Effect::Send { message, .. } => match Control::parse(message) {
            Ok(Control::News { items, .. }) => Some(items.iter().flatten().copied().collect()),
            _ => None,
        },
        _ => None,
    };
    effects.iter().filter_map(items).collect()
}

#[test]
fn unit_rv_04_a_broadcast_is_verified_before_it_is_passed_on_and_not_too_often() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let good = notices(&authority, 1)[0].to_bytes();
    let forged = notices(&self::authority(), 1)[0].to_bytes();
    assert_eq!(member.hear(&forged), 0);
    assert_eq!((0..10).map(|_| member.hear(&good)).sum::<usize>(), 4);
    assert_eq!(member.hear(b"junk"), 0);
    let secret = secret(&authority, 1).to_bytes();
    assert_eq!(member.hear(&secret), 0, "secrets come over links only");
}

/// What is older than what is known is not verified, so it could be anything.
#[test]
fn unit_rv_04_what_is_too_old_to_be_verified_is_not_passed_on() {
    let authority = authority();
    let (mut member, mut own) = (Member::new(&authority), trust(&authority));
    let mut head =
        |at| authority.head(own.ledger_mut(), at, at + HOUR).expect("own chain").to_bytes();
    let (old, new) = (head(NOW), head(NOW + HOUR));
    assert_eq!([member.hear(&new), member.hear(&new)], [1, 1]);
    let forged = [&old[..old.len() - 1], &[old[old.len() - 1] ^ 1]].concat();
    assert_eq!([member.hear(&old), member.hear(&forged)], [0, 0]);
}

#[test]
fn unit_rv_04_who_repeats_all_that_the_authority_ever_said_does_not_make_the_ring_work_for_it() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let mut all = notices(&authority, 101);
    let next = all.pop().expect("the last").to_bytes();
    for notice in &all {
        member.act(|news, cx| news.take(&notice.to_bytes(), cx));
    }
    let mut passed = 0;
    for _ in 0..10 {
        for notice in &all {
            passed += member.hear(&notice.to_bytes());
            member.now += Duration::from_millis(50);
        }
    }
    assert_eq!(passed, 4 * PASSED_MAX);
    assert_eq!(member.hear(&next), 1, "news goes on all the same");
}

#[test]
fn a_peer_that_sends_what_is_no_news_is_soon_not_read_and_others_are() {
    let authority = authority();
    let mut member = Member::new(&authority);
    member.act(|news, cx| news.handle_up(id(2), 0, false, cx));
    let (good, forged) = (notices(&authority, 1), notices(&self::authority(), 4));
    let page = |of: &[Notice]| lists(of.iter().map(Notice::to_bytes)).swap_remove(0);
    let send = |from, page: &[u8], member: &mut Member| {
        let items = Items::parse(page).expect("own output");
        member.act(|news, cx| news.handle_news(id(from), true, items, cx));
    };
    for _ in 0..100 {
        send(1, &page(&forged), &mut member);
        member.hear(&forged[0].to_bytes());
    }
    assert_eq!(member.news.counters().refused, 128);
    send(2, &page(&good), &mut member);
    assert_eq!(member.news.counters().taken, 1);
    member.now += Duration::from_secs(1);
    send(1, &page(&forged), &mut member);
    assert_eq!(member.news.counters().refused, 132, "another second");
}

#[test]
fn unit_rv_03_what_announcers_send_is_verified_and_read_fifty_times_a_second_at_most() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let good: Vec<Vec<u8>> = notices(&authority, 3).iter().map(Notice::to_bytes).collect();
    let forged: Vec<Vec<u8>> =
        notices(&self::authority(), 2).iter().map(Notice::to_bytes).collect();
    let secret = secret(&authority, 2).to_bytes().to_vec();
    let mut hear = |items: &[Vec<u8>]| {
        let list = lists(items).swap_remove(0);
        let items = Items::parse(&list).expect("own output");
        let (_, effects) = member.act(|news, cx| news.handle_notified(items, cx));
        (member.news.standing(member.suite.trust().map(Trust::ledger)), effects)
    };
    assert_eq!(hear(&forged).0.notices, 0);
    assert_eq!(hear(&[secret]).0.secret, 1, "secrets come over links only");
    assert_eq!(hear(&good[2..]).0.notices, 0, "what it follows from is missing");
    let (standing, effects) = hear(&good);
    assert_eq!(standing.notices, 3);
    assert!(effects.contains(&Effect::Rejudge));
    (0..60).for_each(|_| drop(hear(&forged)));
    assert_eq!(member.news.counters().notified, 50);
}

#[test]
fn unit_rv_05_sessions_are_judged_before_a_broadcast_goes_on() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let payload = notices(&authority, 1)[0].to_bytes();
    member.act(|news, cx| news.handle_up(id(1), 0, false, cx));
    let (_, effects) =
        member.act(|news, cx| news.handle_broadcast(id(1), (&payload, id(9), 0), cx));
    let place = |what: &dyn Fn(&Effect) -> bool| effects.iter().position(what).expect("is there");
    assert!(place(&|e| *e == Effect::Rejudge) < place(&|e| matches!(e, Effect::Spread { .. })));
}

#[test]
fn a_notice_with_a_gap_is_passed_on_and_what_is_missing_is_fetched_from_who_sent_it() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let all = notices(&authority, 3);
    member.act(|news, cx| news.handle_up(id(1), 0, false, cx));
    let (_, effects) =
        member.act(|news, cx| news.handle_broadcast(id(1), (&all[2].to_bytes(), id(9), 0), cx));
    assert!(effects.iter().any(|e| matches!(e, Effect::Spread { .. })));
    assert_eq!(asks(&effects), 1);
    for page in lists(all.iter().map(Notice::to_bytes)) {
        let items = Items::parse(&page).expect("own output");
        member.act(|news, cx| news.handle_news(id(1), false, items, cx));
    }
    assert_eq!(member.suite.trust().map(|trust| trust.ledger().number()), Some(3));
}

#[test]
fn who_claims_more_than_it_has_is_not_asked_for_ever() {
    let mut member = Member::new(&authority());
    let (_, effects) = member.act(|news, cx| news.handle_up(id(1), u64::MAX, false, cx));
    assert_eq!(asks(&effects), 1);
    assert_eq!(asks(&member.idle()), ASK_TRIES as usize - 1);
    // An empty answer is none either.
    let claims = Standing { notices: u64::MAX, ..Standing::default() };
    let empty = Items::parse(b"").expect("a list");
    let (_, first) = member.act(|news, cx| news.handle_standing(id(1), claims, cx));
    let (_, second) = member.act(|news, cx| news.handle_news(id(1), false, empty, cx));
    assert_eq!((asks(&first), asks(&second)), (1, 0));
}

#[test]
fn an_answer_is_bounded_and_a_peer_that_asks_all_the_time_is_let_wait() {
    let authority = authority();
    let mut member = Member::new(&authority);
    for notice in notices(&authority, 200) {
        member.act(|news, cx| news.take(&notice.to_bytes(), cx));
    }
    member.act(|news, cx| news.handle_up(id(1), 0, false, cx));
    let mut ask = || {
        let (_, effects) = member.act(|news, cx| news.handle_ask(id(1), Standing::default(), cx));
        pages(&effects).len()
    };
    assert_eq!(ask(), PAGES_MAX);
    assert_eq!((0..100).filter(|_| ask() > 0).count(), SERVED_MAX as usize - 1);
}

#[test]
fn unit_rv_05_a_secret_is_passed_on_only_by_who_knows_the_revocation_that_it_was_made_for() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let next = secret(&authority, 2);
    let (taken, _) = member.act(|news, cx| news.take(&next.to_bytes(), cx));
    assert_eq!(taken, Taken::New);
    let holds = |pages: Vec<Vec<u8>>| pages.concat().windows(32).any(|window| window == [2; 32]);
    member.act(|news, cx| news.handle_up(id(1), 0, false, cx));
    let knows = Standing { secret: 1, ..Standing::default() };
    let (_, before) = member.act(|news, cx| news.handle_ask(id(1), knows, cx));
    assert!(!holds(pages(&before)), "the peer may be the one that was revoked");
    let notice = notices(&authority, 1)[0].to_bytes();
    member.act(|news, cx| news.take(&notice, cx));
    let (_, after) = member.act(|news, cx| news.handle_ask(id(1), knows, cx));
    assert!(holds(pages(&after)));
}

#[test]
fn two_histories_are_reported() {
    let authority = authority();
    let mut member = Member::new(&authority);
    let first = notices(&authority, 1)[0].to_bytes();
    let mut other = trust(&authority);
    let what = Revoked::User("rival".into());
    let rival = authority.revoke(what, other.ledger_mut(), NOW).expect("another first one");
    member.act(|news, cx| news.take(&first, cx));
    let (taken, effects) = member.act(|news, cx| news.take(&rival.to_bytes(), cx));
    assert_eq!(taken, Taken::Refused);
    assert!(effects.contains(&Effect::Event(Event::Fork { number: 1 })), "{effects:?}");
}

#[test]
fn peers_that_do_not_say_that_they_know_are_told_a_few_times() {
    let authority = authority();
    let mut member = Member::new(&authority);
    for n in 1..=3 {
        member.act(|news, cx| news.handle_up(id(n), 0, false, cx));
    }
    let notice = notices(&authority, 1)[0].to_bytes();
    member.act(|news, cx| news.take(&notice, cx));
    let knows = Standing { notices: 1, head: 0, secret: 1 };
    member.act(|news, cx| news.handle_standing(id(1), knows, cx));
    let effects = member.idle();
    let told = |n| {
        effects.iter().filter(|e| matches!(e, Effect::Send { peer, .. } if *peer == id(n))).count()
    };
    assert_eq!([told(1), told(2), told(3)], [0, TELL_TRIES as usize, TELL_TRIES as usize]);
}
