//! The flow in virtual time, against an authority that answers at once.

use super::*;
use pki::enrolment::{Denial, KeyAnswer};
use pki::{CertificateAuthority, GroupSecret, Network, Refusal, Salt, SignOptions};

const START: UnixTime = UnixTime(1_800_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Service, node and the time that both have.
struct World {
    authority: CertificateAuthority,
    salt: Salt,
    key: PrivateKey,
    flow: Flow,
    now: Now,
}

fn world() -> World {
    let authority = CertificateAuthority::create("team", START).unwrap();
    let key = PrivateKey::generate();
    let flow = Flow::newcomer(key.clone(), "team", Some("laptop".into()), [7; 32]);
    let now = Now { instant: Instant::ZERO, unix: START };
    World { authority, salt: Salt::random(), key, flow, now }
}

impl World {
    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.unix = self.now.unix + time;
    }

    /// Lets time pass until there is a question.
    fn question(&mut self) -> Question {
        loop {
            match self.flow.poll(self.now).unwrap() {
                Step::Ask(question) => return question,
                Step::Wait(pause) => {
                    assert!(!pause.is_zero() && pause <= WAIT_MAX);
                    self.pass(pause);
                }
            }
        }
    }

    fn answer(&mut self, answer: Answer) -> Result<Progress, String> {
        self.flow.handle_answer(answer, self.now)
    }

    fn fail(&mut self, code: Code) -> Verdict {
        let denial = Denial { code, message: String::new() };
        let trouble = Trouble::Denied { server: "s".into(), denial };
        self.flow.handle_trouble(&trouble, self.now)
    }

    fn lose(&mut self) -> Verdict {
        let trouble = Trouble::Unreachable { server: "s".into(), why: "gone".into() };
        self.flow.handle_trouble(&trouble, self.now)
    }

    fn id(&self) -> NodeId {
        NodeId::salted(&self.salt, self.key.spki())
    }

    fn grant_for(&self, request: &Request) -> Grant {
        let options = SignOptions { salt: Some(self.salt), ..SignOptions::new("ana") };
        Grant {
            certificate: self.authority.sign(request, &options, self.now.unix).unwrap(),
            ca: vec![self.authority.certificate().clone()],
            root: None,
            network: Network::new("team", "10.42.0.0/16".parse().unwrap()),
            bootstrap: Vec::new(),
            secrets: vec![self.authority.sign_secret(GroupSecret::random(1), START)],
            notices: String::new(),
            stale_policy: Default::default(),
            renew_at: self.now.unix + pki::LIFE_DEFAULT / 3,
        }
    }

    /// Enrols without a hitch.
    fn enrol(&mut self) {
        assert!(matches!(self.question(), Question::Key(_)));
        let key = KeyAnswer::new("team", self.salt, self.key.spki());
        self.answer(Answer::Key(key)).unwrap();
        let Question::Certificate(asked, _) = self.question() else { panic!("no request") };
        let grant = self.grant_for(&asked.request);
        self.answer(Answer::Grant(Box::new(grant))).unwrap();
    }

    /// Answers nonce and renewal; returns when that was.
    fn renew(&mut self) -> UnixTime {
        assert!(matches!(self.question(), Question::Nonce));
        self.answer(Answer::Nonce("n1".parse().unwrap())).unwrap();
        let Question::Renewal(asked) = self.question() else { panic!("no renewal") };
        assert!(asked.is_proven());
        assert_eq!(asked.request.identity(), Some(("team", self.id())), "the id stays");
        let grant = self.grant_for(&asked.request);
        assert!(matches!(self.answer(Answer::Grant(Box::new(grant))), Ok(Progress::Granted(_))));
        self.now.unix
    }
}

#[test]
fn unit_wb_12_a_member_renews_from_one_third_of_life_for_ever_with_the_same_id() {
    let mut world = world();
    world.enrol();
    for _ in 0..5 {
        let issued = world.now.unix;
        let renewed = world.renew().since(issued);
        let third = pki::LIFE_DEFAULT / 3;
        let latest = third.mul_f64(1.0 + RENEWAL_JITTER);
        assert!((third..=latest + DAY / 24).contains(&renewed), "{renewed:?}");
    }
}

#[test]
fn unit_wb_12_an_outage_of_four_days_harms_nobody() {
    let mut world = world();
    world.enrol();
    let issued = world.now.unix;
    let mut tries = 0;
    while world.now.unix.since(issued) < pki::LIFE_DEFAULT / 3 + 4 * DAY {
        assert!(matches!(world.question(), Question::Nonce));
        assert_eq!(world.lose(), Verdict::Retry);
        tries += 1;
    }
    assert!((50..400).contains(&tries), "{tries} tries: neither a flood nor a sleep");
    assert!(world.renew().since(issued) < pki::LIFE_DEFAULT, "before the certificate ended");
}

#[test]
fn unit_wb_12_an_expired_certificate_signs_its_renewal_for_thirty_days_and_then_enrols_anew() {
    let mut expired = world();
    expired.enrol();
    expired.pass(pki::LIFE_DEFAULT + 29 * DAY);
    expired.renew();

    let mut late = world();
    late.enrol();
    late.pass(pki::LIFE_DEFAULT + 31 * DAY);
    assert!(matches!(late.question(), Question::Key(_)));

    // The service may see it sooner than the node.
    let mut told = world();
    told.enrol();
    told.pass(pki::LIFE_DEFAULT);
    assert!(matches!(told.question(), Question::Nonce));
    assert_eq!(told.fail(Code::CertificateTooOld), Verdict::Retry);
    assert!(matches!(told.question(), Question::Key(_)));
}

#[test]
fn unit_wb_05_a_pending_request_is_told_once_and_asked_about_until_it_is_granted() {
    let mut world = world();
    assert!(matches!(world.question(), Question::Key(_)));
    let key = KeyAnswer::new("team", world.salt, world.key.spki());
    let identified = world.answer(Answer::Key(key)).unwrap();
    assert!(matches!(identified, Progress::Identified(id) if id == world.id()));
    for n in 0..100 {
        let before = world.now.instant;
        let Question::Certificate(_, may_hold) = world.question() else { panic!("no request") };
        assert_eq!(may_hold, n > 0, "the user learns at once that somebody has to decide");
        let paused = world.now.instant.saturating_since(before);
        assert!(n == 0 || paused >= PENDING_PAUSE, "a service that does not hold is not flooded");
        let told = world.answer(Answer::Pending).unwrap();
        assert_eq!(matches!(told, Progress::Pending), n == 0);
    }
    let Question::Certificate(asked, _) = world.question() else { panic!("no request") };
    assert_eq!(asked.request.identity(), Some(("team", world.id())));
    let grant = world.grant_for(&asked.request);
    assert!(matches!(world.answer(Answer::Grant(Box::new(grant))), Ok(Progress::Granted(_))));
}

#[test]
fn unit_wb_09_refusals_end_a_newcomer_and_outages_do_not() {
    for code in [
        Code::TokenUnknown,
        Code::TokenExpired,
        Code::TokenUsedUp,
        Code::TokenForeign,
        Code::RequestDenied,
        Code::MembershipEnded,
        Code::QuotaExceeded,
        Code::Other,
    ] {
        let mut world = world();
        world.question();
        assert_eq!(world.fail(code), Verdict::GiveUp, "{code}");
    }
    let mut world = world();
    for _ in 0..20 {
        world.question();
        assert_eq!(world.fail(Code::Unavailable), Verdict::Retry);
        let before = world.now.instant;
        world.question();
        let paused = world.now.instant.saturating_since(before);
        assert!(paused <= NEWCOMER_PAUSE_MAX * 2, "{paused:?}: its user waits");
        assert_eq!(world.lose(), Verdict::Retry);
    }
    world.enrol();
}

#[test]
fn unit_wb_09_what_the_service_says_is_checked() {
    let mut world = world();
    world.question();
    let why = |result: Result<Progress, String>| result.expect_err("is refused");
    let wrong = KeyAnswer::new("team", world.salt, PrivateKey::generate().spki());
    assert!(why(world.answer(Answer::Key(wrong))).contains("does not follow"));
    assert!(why(world.answer(Answer::Pending)).contains("not for the question"));
    let right = KeyAnswer::new("team", world.salt, world.key.spki());
    world.answer(Answer::Key(right)).unwrap();
    let Question::Certificate(asked, _) = world.question() else { panic!("no request") };

    let stranger = Request::for_node(&PrivateKey::generate(), "team", world.id()).unwrap();
    let other = world.grant_for(&stranger);
    assert!(why(world.answer(Answer::Grant(Box::new(other)))).contains("another node"));
    let good = world.grant_for(&asked.request);
    let mut elsewhere = good.clone();
    elsewhere.network.group = "club".into();
    assert!(why(world.answer(Answer::Grant(Box::new(elsewhere)))).contains("club"));
    let mut unsigned = good.clone();
    unsigned.ca = vec![CertificateAuthority::create("team", START).unwrap().certificate().clone()];
    let text = why(world.answer(Answer::Grant(Box::new(unsigned))));
    assert!(text.contains(&Refusal::UnknownIssuer.to_string()), "{text}");
    let foreign = CertificateAuthority::create("team", START).unwrap();
    let mut poisoned = good.clone();
    poisoned.secrets = vec![foreign.sign_secret(GroupSecret::random(9), START)];
    assert!(why(world.answer(Answer::Grant(Box::new(poisoned)))).contains("secret"));
    assert!(matches!(world.answer(Answer::Grant(Box::new(good))), Ok(Progress::Granted(_))));
}

#[test]
fn a_renewal_time_that_makes_no_sense_neither_floods_nor_comes_too_late() {
    for (renew_at, range) in [
        (UnixTime(0), RENEWAL_DISTANCE_MIN..Duration::from_secs(60)),
        (UnixTime::MAX, DAY..pki::LIFE_DEFAULT.mul_f64(0.9)),
    ] {
        let mut world = world();
        assert!(matches!(world.question(), Question::Key(_)));
        let key = KeyAnswer::new("team", world.salt, world.key.spki());
        world.answer(Answer::Key(key)).unwrap();
        let Question::Certificate(asked, _) = world.question() else { panic!("no request") };
        let grant = Grant { renew_at, ..world.grant_for(&asked.request) };
        world.answer(Answer::Grant(Box::new(grant))).unwrap();
        let before = world.now.unix;
        assert!(matches!(world.question(), Question::Nonce));
        let waited = world.now.unix.since(before);
        assert!(range.contains(&waited), "{waited:?}");
    }
}

#[test]
fn renewals_of_a_group_are_spread() {
    let issued = START;
    let times: Vec<_> = (0..200u8)
        .map(|n| {
            let mut world = world();
            world.flow.rng = Rng::new([n; 32]);
            world.enrol();
            world.flow.renew_at().unwrap().since(issued).as_secs()
        })
        .collect();
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(last - first > 12 * 3600, "{first} to {last}");
    let by_hour = |hour: u64| times.iter().filter(|t| (*t - first) / 3600 == hour).count();
    assert!((0..20).all(|hour| by_hour(hour) < 40));
}
