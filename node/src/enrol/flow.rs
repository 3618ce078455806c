//! What is asked next, and when: from a key without a certificate to a member that renews for ever.
//!
//! ```text
//! NeedId --key--> NeedCertificate --pending--+        Member --renew_at--> nonce --> renewal
//!    ^                  ^       |            |          ^ |                             |
//!    |                  +-------|------------+          | +---- later, after trouble <--+
//!    |                          +--- grant -------------+              |
//!    +------ the certificate ended longer ago than it may sign its renewal ----+
//! ```
//!
//! A machine without clock and network: ask [`Flow::poll`] what to do, tell it what came of it, and ask
//! again. Key and node ID stay the same through all renewals. Time to the renewal is wall time, as
//! certificates are; pauses after trouble are monotonic.

use std::time::Duration;

use pki::enrolment::{CertificateRequest, Code, Grant, KeyRequest, Nonce, RenewalRequest};
use pki::{Certificate, Member, NodeId, PrivateKey, RENEWAL_GRACE, Request, UnixTime};
use proto::rng::Rng;
use proto::time::{Instant, Now};

use super::backoff::Backoff;
use super::service::{Answer, Question};
use super::trouble::Trouble;

/// Pause after the first failure of a newcomer: its user waits.
const NEWCOMER_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause of a newcomer.
const NEWCOMER_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Pause after the first failure of a renewal: it has days.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause of a renewal, and so about the time over which a group's renewals spread after an outage.
const RENEWAL_PAUSE_MAX: Duration = Duration::from_secs(3600);
/// The same once little is left of the certificate: reaching the service late would cut the node off.
const URGENT_PAUSE_MAX: Duration = Duration::from_secs(300);
/// Shortest time between two questions about a pending request, for services that do not hold them.
const PENDING_PAUSE: Duration = Duration::from_secs(1);
/// Shortest time from a grant to its renewal, whatever the service says.
const RENEWAL_DISTANCE_MIN: Duration = Duration::from_secs(5);
/// Longest wait in one piece: the wall clock may jump meanwhile.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Share of the time until the renewal by which it is put off, drawn once per certificate.
const RENEWAL_JITTER: f64 = 0.3;

/// What to do now.
#[derive(Debug)]
pub enum Step {
    /// Ask the service; tell [`Flow::handle_answer`] or [`Flow::handle_trouble`].
    Ask(Question),
    /// Ask again when this time has passed.
    Wait(Duration),
}

/// What an answer brought.
#[derive(Debug)]
pub enum Progress {
    /// The service knows the key; the node has this ID.
    Identified(NodeId),
    /// An administrator has to approve first. Told once.
    Pending,
    /// A certificate, with all that belongs to it.
    Granted(Box<Grant>),
    /// Nothing that anybody needs to know.
    Quiet,
}

/// Whether it goes on after trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is tried again later.
    Retry,
    /// The user has to do something.
    GiveUp,
}

/// A node's way to its certificate and to each next one.
pub struct Flow {
    key: PrivateKey,
    group: String,
    host: Option<String>,
    stage: Stage,
    backoff: Backoff,
    /// When the next question may be asked.
    not_before: Instant,
    rng: Rng,
}

enum Stage {
    NeedId,
    NeedCertificate { id: NodeId, told: bool },
    Member(Box<Held>),
}

/// The certificate that is held.
struct Held {
    certificate: Certificate,
    member: Member,
    /// With jitter.
    renew_at: UnixTime,
    nonce: Option<Nonce>,
}

impl Flow {
    /// The way of a node that has a key and no certificate.
    pub fn newcomer(key: PrivateKey, group: &str, host: Option<String>, seed: [u8; 32]) -> Self {
        Self {
            key,
            group: group.to_owned(),
            host,
            stage: Stage::NeedId,
            backoff: Backoff::new(NEWCOMER_PAUSE),
            not_before: Instant::ZERO,
            rng: Rng::new(seed),
        }
    }

    /// Goes on with a certificate of the key from an earlier run or from elsewhere. Without a time to renew
    /// at, it is renewed from one third of its life on.
    pub fn resume(
        mut self,
        certificate: Certificate,
        renew_at: Option<UnixTime>,
    ) -> Result<Self, pki::Refusal> {
        let member = certificate.unverified()?;
        let third = member.issued() + member.not_after.since(member.issued()) / 3;
        self.hold(certificate, member, renew_at.unwrap_or(third));
        Ok(self)
    }

    /// Starts over with another key: the one before is revoked.
    pub fn change_key(&mut self, key: PrivateKey) {
        self.key = key;
        self.start_over();
    }

    /// When the certificate is renewed, with jitter; `None` while there is none.
    pub fn renew_at(&self) -> Option<UnixTime> {
        match &self.stage {
            Stage::Member(held) => Some(held.renew_at),
            Stage::NeedId | Stage::NeedCertificate { .. } => None,
        }
    }

    /// Returns what to do now.
    pub fn poll(&mut self, now: Now) -> Result<Step, pki::Error> {
        let pause = self.not_before.saturating_since(now.instant);
        if !pause.is_zero() {
            return Ok(Step::Wait(pause.min(WAIT_MAX)));
        }
        if let Stage::Member(held) = &self.stage
            && held.member.not_after + RENEWAL_GRACE < now.unix
        {
            self.start_over();
        }
        Ok(match &mut self.stage {
            Stage::NeedId => {
                Step::Ask(Question::Key(KeyRequest::new(&self.key, self.host.as_deref())))
            }
            Stage::NeedCertificate { id, told } => {
                let request = Request::for_node(&self.key, &self.group, *id)?;
                Step::Ask(Question::Certificate(CertificateRequest { request }, *told))
            }
            Stage::Member(held) if now.unix < held.renew_at => {
                Step::Wait(held.renew_at.since(now.unix).min(WAIT_MAX))
            }
            Stage::Member(held) => match held.nonce.take() {
                None => Step::Ask(Question::Nonce),
                Some(nonce) => {
                    let request = Request::for_node(&self.key, &self.group, held.member.node_id)?;
                    let certificate = held.certificate.clone();
                    let signed = RenewalRequest::sign(&self.key, request, certificate, nonce);
                    Step::Ask(Question::Renewal(Box::new(signed)))
                }
            },
        })
    }

    /// Takes the answer to the question. What is wrong with it is trouble, for the caller to tell
    /// [`handle_trouble`](Self::handle_trouble).
    pub fn handle_answer(&mut self, answer: Answer, now: Now) -> Result<Progress, String> {
        match (answer, &mut self.stage) {
            (Answer::Key(key), Stage::NeedId) => {
                // A token of another group is for the service to refuse and to log: the request names ours,
                // and no grant of another group is taken.
                if !key.is_for(self.key.spki()) {
                    return Err("the node ID does not follow from salt and key".into());
                }
                self.backoff.succeed();
                self.stage = Stage::NeedCertificate { id: key.node_id, told: false };
                Ok(Progress::Identified(key.node_id))
            }
            (Answer::Pending, Stage::NeedCertificate { told, .. }) => {
                self.backoff.succeed();
                self.not_before = now.instant + PENDING_PAUSE;
                let is_news = !std::mem::replace(told, true);
                Ok(if is_news { Progress::Pending } else { Progress::Quiet })
            }
            (Answer::Nonce(nonce), Stage::Member(held)) => {
                held.nonce = Some(nonce);
                Ok(Progress::Quiet)
            }
            (Answer::Grant(grant), Stage::NeedCertificate { .. } | Stage::Member(_)) => {
                let member = self.check(&grant, now.unix)?;
                self.hold(grant.certificate.clone(), member, grant.renew_at);
                self.not_before = now.instant + RENEWAL_DISTANCE_MIN;
                Ok(Progress::Granted(grant))
            }
            _ => Err("the answer is not for the question".into()),
        }
    }

    /// Takes it that a question was not answered.
    pub fn handle_trouble(&mut self, trouble: &Trouble, now: Now) -> Verdict {
        let longest = match &self.stage {
            Stage::Member(held) if is_urgent(&held.member, now.unix) => URGENT_PAUSE_MAX,
            Stage::Member(_) => RENEWAL_PAUSE_MAX,
            Stage::NeedId | Stage::NeedCertificate { .. } => NEWCOMER_PAUSE_MAX,
        };
        self.not_before = now.instant + self.backoff.fail(longest, &mut self.rng);
        match &self.stage {
            Stage::Member(_) => {
                if trouble.code() == Some(Code::CertificateTooOld) {
                    self.start_over();
                }
                // Its user may have changed something at the service by then.
                Verdict::Retry
            }
            Stage::NeedId | Stage::NeedCertificate { .. } if trouble.is_passing() => Verdict::Retry,
            Stage::NeedId | Stage::NeedCertificate { .. } => Verdict::GiveUp,
        }
    }

    /// Makes sure that a grant is for this node, by an authority that comes with it and is of this group.
    fn check(&self, grant: &Grant, now: UnixTime) -> Result<Member, String> {
        if grant.network.group != self.group {
            return Err(format!("it grants {} in place of {}", grant.network.group, self.group));
        }
        let trust = grant.trust().map_err(|error| error.to_string())?;
        // How fresh the list of revocations is decides about links, not about this certificate.
        let judged = trust.judge_renewal(grant.certificate.der(), now);
        let member = judged.map_err(|refusal| format!("its certificate: {refusal}"))?;
        let expected = match &self.stage {
            Stage::NeedId => None,
            Stage::NeedCertificate { id, .. } => Some(*id),
            Stage::Member(held) => Some(held.member.node_id),
        };
        if member.spki != self.key.spki() || Some(member.node_id) != expected {
            return Err("its certificate is for another node".into());
        }
        grant.keyring(&trust).map_err(|error| format!("its group secret: {error}"))?;
        Ok(member)
    }

    fn hold(&mut self, certificate: Certificate, member: Member, renew_at: UnixTime) {
        let issued = member.issued();
        // A time near the end, or after it, would be a mistake of the service.
        let latest = issued + member.not_after.since(issued).mul_f64(2.0 / 3.0);
        let renew_at = renew_at.min(latest);
        let jitter = renew_at.since(issued).mul_f64(RENEWAL_JITTER * self.rng.unit());
        let held = Held { certificate, member, renew_at: renew_at + jitter, nonce: None };
        self.stage = Stage::Member(Box::new(held));
        self.backoff = Backoff::new(RENEWAL_PAUSE);
    }

    fn start_over(&mut self) {
        self.stage = Stage::NeedId;
        self.backoff = Backoff::new(NEWCOMER_PAUSE);
    }
}

/// Whether less than a tenth of the certificate's life is left.
fn is_urgent(member: &Member, now: UnixTime) -> bool {
    let life = member.not_after.since(member.issued());
    member.not_after.since(now) < life / 10
}

#[cfg(test)]
mod tests;
