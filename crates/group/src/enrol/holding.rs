//! How a question is held until something happens.
//!
//! How it works: one task hears every change that this process makes, and every notice that another one
//! signs, and counts it for its group; who waits for that group is woken, and nobody else. With several
//! replicas on one PostgreSQL an approval may be given at another one, so there who waits for that looks
//! again now and then as well.
//!
//! What must hold: so many questions are held, and no more; the rest is answered at once, and the
//! asker comes back by itself. When the service ends, all are answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::model::GroupId;
use crate::serve::{Draining, Traffic};
use crate::service::Changed;

/// Most questions that are held: three quarters of the connections that one service has.
const HELD_MAX: usize = 6144;
/// How often it is looked whether another replica has approved.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How much has happened in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    changes: u64,
    notices: u64,
}

/// What a question waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matter {
    /// Anything in the group.
    Anything,
    /// A notice or a new head.
    Notices,
}

/// Holds questions.
pub struct Holding {
    draining: Draining,
    traffic: Arc<Traffic>,
    replicated: bool,
    places: Arc<Semaphore>,
    groups: Mutex<HashMap<GroupId, watch::Sender<Counts>>>,
}

impl Holding {
    /// Holds questions; `replicated` says that others may change the same groups.
    pub fn new(draining: Draining, traffic: Arc<Traffic>, replicated: bool) -> Self {
        let places = Arc::new(Semaphore::new(HELD_MAX));
        Self { draining, traffic, replicated, places, groups: Mutex::default() }
    }

    /// Hears changes for as long as the service runs.
    pub async fn hear(&self, mut changes: Receiver<Changed>) {
        loop {
            match changes.recv().await {
                Ok(changed) => self.count(|group| *group == changed.group, changed.notices),
                // So much has happened that it may have been anywhere.
                Err(RecvError::Lagged(_)) => self.count(|_| true, true),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Begins to hold a question for so long at the most; not at all where there is no room.
    pub fn begin(&self, wait: Duration) -> Held<'_> {
        let place = match wait.is_zero() {
            true => None,
            false => Arc::clone(&self.places).try_acquire_owned().ok(),
        };
        if place.is_some() {
            self.traffic.waiting.inc();
        }
        Held { holding: self, deadline: Instant::now() + wait, place, news: None }
    }

    fn listen(&self, group: GroupId) -> watch::Receiver<Counts> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group).or_default().subscribe()
    }

    fn count(&self, is_meant: impl Fn(&GroupId) -> bool, notices: bool) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.retain(|group, sender| {
            if is_meant(group) {
                sender.send_modify(|counts| {
                    counts.changes += 1;
                    counts.notices += u64::from(notices);
                });
            }
            sender.receiver_count() > 0
        });
    }
}

/// A question that may be held for a while.
pub struct Held<'a> {
    holding: &'a Holding,
    deadline: Instant,
    place: Option<OwnedSemaphorePermit>,
    /// What is heard, and how much had happened when the question was last asked.
    news: Option<(watch::Receiver<Counts>, Counts)>,
}

impl Held<'_> {
    /// Waits until the question should be asked again; `false` when its answer must be given now.
    ///
    /// The first time it only begins to listen, so that what happened since the question was asked
    /// is not missed.
    pub async fn again(&mut self, group: GroupId, matter: Matter) -> bool {
        if self.place.is_none() {
            return false;
        }
        let Some((news, before)) = &mut self.news else {
            let news = self.holding.listen(group);
            let before = *news.borrow();
            self.news = Some((news, before));
            return true;
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let may_miss = self.holding.replicated && matter == Matter::Anything;
        let looks = may_miss && LOOK_EVERY < left;
        let wait = if looks { LOOK_EVERY } else { left };
        let heard = news.wait_for(|now| match matter {
            Matter::Anything => now.changes != before.changes,
            Matter::Notices => now.notices != before.notices,
        });
        let again = tokio::select! {
            heard = heard => heard.is_ok(),
            () = tokio::time::sleep(wait) => looks,
            () = self.holding.draining.begun() => false,
        };
        *before = *news.borrow();
        again
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.holding.traffic.waiting.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: GroupId = GroupId(1);
    const LONG: Duration = Duration::from_secs(30);

    fn holding() -> (watch::Sender<bool>, Holding) {
        let (end, draining) = Draining::new();
        (end, Holding::new(draining, Arc::new(Traffic::new()), false))
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_is_asked_again_when_something_happens_in_its_group() {
        let (_end, holding) = holding();
        let mut held = holding.begin(LONG);
        assert!(held.again(OURS, Matter::Anything).await, "once more, now listening");
        let start = tokio::time::Instant::now();
        let happens = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            holding.count(|group| *group == GroupId(2), true);
            tokio::time::sleep(Duration::from_secs(1)).await;
            holding.count(|group| *group == OURS, false);
        };
        let (again, ()) = tokio::join!(held.again(OURS, Matter::Anything), happens);
        assert!(again);
        assert_eq!(start.elapsed().as_secs(), 2);
        let happens = async { holding.count(|group| *group == OURS, false) };
        let (again, ()) = tokio::join!(held.again(OURS, Matter::Notices), happens);
        assert!(!again, "no notice came in time");
    }

    #[tokio::test(start_paused = true)]
    async fn what_happened_since_it_began_to_listen_is_not_missed() {
        let (_end, holding) = holding();
        let mut held = holding.begin(LONG);
        assert!(held.again(OURS, Matter::Notices).await);
        holding.count(|group| *group == OURS, true);
        let start = tokio::time::Instant::now();
        let _ = held.again(OURS, Matter::Notices).await;
        assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_answered_at_the_end_and_those_without_a_place_at_once() {
        let (end, holding) = holding();
        let mut held = holding.begin(LONG);
        assert!(held.again(OURS, Matter::Anything).await);
        end.send(true).expect("is heard");
        assert!(!held.again(OURS, Matter::Anything).await);
        assert_eq!(holding.traffic.waiting.get(), 1);
        drop(held);
        assert_eq!(holding.traffic.waiting.get(), 0);
        assert!(!holding.begin(Duration::ZERO).again(OURS, Matter::Anything).await);
        let _all = Arc::clone(&holding.places).try_acquire_many_owned(HELD_MAX as u32);
        assert!(!holding.begin(LONG).again(OURS, Matter::Anything).await, "no room");
    }
}
