//! How a node stays a member while its daemon runs: renewals in time, revocations as they come.
//!
//! Tasks beside the driver, each with a connection of its own, since a long poll holds its one. They
//! tell the driver by a bounded channel; the service may be away for as long as the certificate lasts, and
//! nothing but these things is missing. By whom to join is asked in [`directions`](super::directions).

use std::sync::Arc;
use std::time::Duration;

use pki::enrolment::{Grant, WAIT_MAX_SECONDS};
use pki::{Certificate, HostPort, LedgerError, Trust, UnixTime};
use proto::rng::Rng;
use tokio::sync::{mpsc, watch};

use super::backoff::Backoff;
use super::directions::Directions;
use super::flow::{Flow, Progress, Step};
use super::service::Service;
use super::start::{Membership, seed};
use super::trouble::Trouble;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::state::StateDir;

/// Updates that wait for the driver; the tasks wait for room.
const UPDATES_MAX: usize = 8;
/// Pause between two questions for notices that the service holds, or answers with news.
const NOTICES_PAUSE: Duration = Duration::from_secs(1);
/// An answer without news that comes sooner was not held: the service has no room for that now.
const HELD_MIN: Duration = Duration::from_secs(5);
/// Pause after such an answer, give or take half of it: as long as a question is held.
const UNHELD_PAUSE: Duration = Duration::from_secs(WAIT_MAX_SECONDS as u64);
/// Pause after the first failure to get notices.
const NOTICES_RETRY: Duration = Duration::from_secs(5);
/// Longest such pause: how late a revocation can be that comes by HTTPS alone, once the service is back.
const NOTICES_RETRY_MAX: Duration = Duration::from_secs(60);
/// The same when the service refuses: its user may change that.
const NOTICES_REFUSED_MAX: Duration = Duration::from_secs(600);

/// What the driver is told.
#[derive(Debug)]
pub enum Update {
    /// A renewed certificate, with all that belongs to it; it is kept already.
    Renewed(Box<Grant>),
    /// When the next renewal is due.
    RenewalDue(UnixTime),
    /// New notices or a new head, in text form.
    Notices(String),
    /// The nodes to join by, as the group names them now.
    Bootstrap(Vec<HostPort>),
    /// The service has answered.
    Contact,
    /// It has not, or not as hoped.
    Trouble(Trouble),
}

/// How it stands with the service.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Host and port.
    pub service: String,
    /// When the certificate is renewed; the try may come later, if there is trouble.
    pub renewal_due: Option<UnixTime>,
    /// When the service last answered.
    pub last_contact: Option<UnixTime>,
    /// What was wrong since then.
    pub trouble: Option<String>,
}

/// The driver's end of the tasks.
pub struct Keeper {
    updates: mpsc::Receiver<Update>,
    is_alone: watch::Sender<bool>,
    report: Report,
}

impl Keeper {
    /// Starts the tasks. They end when this is dropped.
    pub fn start(
        membership: Membership,
        identity: &Identity,
        state: Arc<StateDir>,
        clock: Clock,
    ) -> Result<Self, Failure> {
        let (driver, updates) = mpsc::channel(UPDATES_MAX);
        let Membership { enrolment, mut flow, granted_at } = membership;
        if flow.renew_at().is_none() {
            let certificate = identity.certificate().clone();
            flow = flow.resume(certificate, None).map_err(Failure::identity)?;
        }
        let service = Service::new(&enrolment)?;
        let report =
            Report { service: service.server(), last_contact: granted_at, ..Report::default() };
        let (granted, authorities) = watch::channel(Vec::new());
        let renewals = Renewals { flow, service, granted, state, clock };
        let (trust, rng) = (identity.trust.clone(), Rng::new(seed()?));
        let service = Service::new(&enrolment)?;
        let notices = Notices { trust, authorities, service, clock, rng };
        let (is_alone, alone) = watch::channel(true);
        let directions = Directions::new(Service::new(&enrolment)?, alone, Rng::new(seed()?));
        tokio::spawn(renewals.run(driver.clone()));
        tokio::spawn(directions.run(driver.clone()));
        tokio::spawn(notices.run(driver));
        Ok(Self { updates, is_alone, report })
    }

    /// Tells whether nobody is linked: then the service is asked by whom to join.
    pub fn set_alone(&self, is_alone: bool) {
        self.is_alone.send_if_modified(|was| std::mem::replace(was, is_alone) != is_alone);
    }

    /// Waits for the next update; for ever if there is no service.
    pub async fn next(keeper: &mut Option<Self>) -> Update {
        if let Some(keeper) = keeper
            && let Some(update) = keeper.updates.recv().await
        {
            return update;
        }
        std::future::pending().await
    }

    /// How it stands.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Notes what an update says about the service.
    pub fn note(&mut self, update: &Update, now: UnixTime) {
        match update {
            Update::RenewalDue(due) => self.report.renewal_due = Some(*due),
            Update::Trouble(trouble) => self.report.trouble = Some(trouble.to_string()),
            Update::Renewed(_) | Update::Notices(_) | Update::Bootstrap(_) | Update::Contact => {
                self.report.last_contact = Some(now);
                self.report.trouble = None;
            }
        }
    }
}

struct Renewals {
    flow: Flow,
    service: Service,
    /// The authorities of the last grant, for those who verify notices.
    granted: watch::Sender<Vec<Certificate>>,
    state: Arc<StateDir>,
    clock: Clock,
}

impl Renewals {
    async fn run(mut self, driver: mpsc::Sender<Update>) {
        let mut told = None;
        while !driver.is_closed() {
            let due = self.flow.renew_at();
            if let Some(due) = due.filter(|_| due != told)
                && driver.send(Update::RenewalDue(due)).await.is_err()
            {
                return;
            }
            told = due;
            let step = match self.flow.poll(self.clock.now()) {
                Ok(step) => step,
                Err(error) => return tracing::error!(%error, "no renewal can be asked for"),
            };
            let update = match step {
                Step::Wait(pause) => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => continue,
                        () = driver.closed() => return,
                    }
                }
                Step::Ask(question) => {
                    let answer = self.service.ask(&question).await;
                    let now = self.clock.now();
                    let progress = answer.and_then(|answer| {
                        let taken = self.flow.handle_answer(answer, now);
                        taken.map_err(|why| self.service.unusable(why))
                    });
                    match progress {
                        Ok(Progress::Granted(grant)) => {
                            if let Err(failure) = self.state.set_grant(&grant) {
                                tracing::warn!("renewed certificate not kept: {failure}");
                            }
                            self.granted.send_replace(grant.ca.clone());
                            Update::Renewed(grant)
                        }
                        Ok(_) => Update::Contact,
                        Err(trouble) => {
                            self.flow.handle_trouble(&trouble, now);
                            tracing::warn!("certificate not renewed: {trouble}; trying again");
                            Update::Trouble(trouble)
                        }
                    }
                }
            };
            if driver.send(update).await.is_err() {
                return;
            }
        }
    }
}

struct Notices {
    /// Verifies what comes before the driver sees it, and knows how far it got.
    trust: Trust,
    /// Those that sign, once a renewal has named them.
    authorities: watch::Receiver<Vec<Certificate>>,
    service: Service,
    clock: Clock,
    rng: Rng,
}

impl Notices {
    async fn run(mut self, driver: mpsc::Sender<Update>) {
        let mut backoff = Backoff::new(NOTICES_RETRY);
        let mut last_trouble = None;
        while !driver.is_closed() {
            let asked = self.clock.instant();
            let (update, pause) = match self.ask().await {
                Ok(news) => {
                    backoff.succeed();
                    last_trouble = None;
                    let held = self.clock.instant().saturating_since(asked);
                    let pause = self.pause(held, news.is_some());
                    (news.map_or(Update::Contact, Update::Notices), pause)
                }
                Err(trouble) => {
                    // An outage is long: it is told once.
                    if last_trouble.as_ref() != Some(&trouble) {
                        tracing::warn!("no news of revocations: {trouble}; trying again");
                    }
                    last_trouble = Some(trouble.clone());
                    let longest =
                        if trouble.is_passing() { NOTICES_RETRY_MAX } else { NOTICES_REFUSED_MAX };
                    (Update::Trouble(trouble), backoff.fail(longest, &mut self.rng))
                }
            };
            if driver.send(update).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = driver.closed() => return,
            }
        }
    }

    /// How long to wait after an answer.
    fn pause(&mut self, held: Duration, has_news: bool) -> Duration {
        match has_news || held >= HELD_MIN {
            true => NOTICES_PAUSE,
            false => self.rng.jitter(UNHELD_PAUSE, 0.5),
        }
    }

    /// Waits for news and verifies it; `None` if there is none.
    async fn ask(&mut self) -> Result<Option<String>, Trouble> {
        let text = self.service.notices(self.trust.ledger().number()).await?;
        if self.authorities.has_changed().unwrap_or(false) {
            let authorities = self.authorities.borrow_and_update().clone();
            self.trust.repin(&authorities).map_err(|error| self.service.unusable(error))?;
        }
        let ledger = self.trust.ledger_mut();
        let taken = ledger.take_text(&text);
        let news = taken.map_err(|error| match error.error {
            LedgerError::Fork { number } => {
                Trouble::Forked { server: self.service.server(), number }
            }
            _ => self.service.unusable(error),
        })?;
        ledger.prune(self.clock.now().unix);
        Ok((news > 0).then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{CertificateAuthority, Enrolment, enrolment::Token};

    #[test]
    fn a_service_that_has_no_room_to_hold_questions_is_not_flooded() {
        let authority = CertificateAuthority::create("team", UnixTime(1_800_000_000)).unwrap();
        let trust = Trust::new("team", &[authority.certificate().clone()], None).unwrap();
        let url = "https://vpn.example.org".parse().unwrap();
        let enrolment = Enrolment { url, pins: Vec::new(), token: Token::random() };
        let service = Service::new(&enrolment).unwrap();
        let rng = Rng::new([1; 32]);
        let (_granted, authorities) = watch::channel(Vec::new());
        let mut notices = Notices { trust, authorities, service, clock: Clock::start(), rng };
        let second = Duration::from_secs(1);
        assert_eq!(notices.pause(30 * second, false), NOTICES_PAUSE, "held");
        assert_eq!(notices.pause(Duration::ZERO, true), NOTICES_PAUSE, "news");
        let unheld = notices.pause(Duration::ZERO, false);
        assert!((15 * second..=45 * second).contains(&unheld), "{unheld:?}");
    }
}
