//! By which nodes to join, as the service says now: asked once after the start, then while nobody is linked.
//!
//! The list came with the certificate. Whoever runs the group may have set another since, and a node that finds
//! nobody by the old one would hear of that with its renewal only, days later. So it asks again, with growing
//! pauses drawn by chance, until somebody is linked. No answer changes nothing: what was granted still counts.

use std::time::Duration;

use pki::HostPort;
use proto::rng::Rng;
use tokio::sync::{mpsc, watch};

use super::backoff::Backoff;
use super::keeper::Update;
use super::service::Service;

/// First pause, after the start and after the last link was lost: most nodes are linked (again) by then.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause of a node without links: how late it finds the others once they are named. It asks for notices
/// twice as often, so that this is no load of another kind.
const ALONE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Longest pause of a node with links that has not been answered since its start: nothing is missing.
const LINKED_PAUSE_MAX: Duration = Duration::from_secs(3600);

/// The task that asks.
pub struct Directions {
    service: Service,
    /// Whether nobody is linked; it ends with the driver.
    is_alone: watch::Receiver<bool>,
    pace: Pace,
}

/// When to ask: decided without clock and network.
struct Pace {
    backoff: Backoff,
    was_answered: bool,
    rng: Rng,
}

impl Directions {
    /// A task that asks this service.
    pub fn new(service: Service, is_alone: watch::Receiver<bool>, rng: Rng) -> Self {
        let pace = Pace { backoff: Backoff::new(FIRST_PAUSE), was_answered: false, rng };
        Self { service, is_alone, pace }
    }

    /// Asks until the driver ends.
    pub async fn run(mut self, driver: mpsc::Sender<Update>) {
        loop {
            let is_alone = *self.is_alone.borrow_and_update();
            let Some(pause) = self.pace.next(is_alone) else {
                match self.is_alone.changed().await {
                    Ok(()) => continue,
                    Err(_) => return,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = driver.closed() => return,
            }
            // Somebody may have come meanwhile.
            if self.pace.was_answered && !*self.is_alone.borrow() {
                continue;
            }
            if let Some(list) = self.ask().await
                && driver.send(Update::Bootstrap(list)).await.is_err()
            {
                return;
            }
        }
    }

    async fn ask(&mut self) -> Option<Vec<HostPort>> {
        match self.service.bootstrap().await {
            Ok(list) => {
                self.pace.was_answered = true;
                Some(list)
            }
            Err(trouble) => {
                // The user reads of it from those who ask for certificates and notices.
                tracing::debug!("no news of the nodes to join by: {trouble}");
                None
            }
        }
    }
}

impl Pace {
    /// How long to wait before the next question; `None` if there is nothing to ask while somebody is linked.
    fn next(&mut self, is_alone: bool) -> Option<Duration> {
        if !is_alone && self.was_answered {
            self.backoff.succeed();
            return None;
        }
        let longest = if is_alone { ALONE_PAUSE_MAX } else { LINKED_PAUSE_MAX };
        Some(self.backoff.fail(longest, &mut self.rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_asks_once_and_then_only_while_nobody_is_linked() {
        let (backoff, rng) = (Backoff::new(FIRST_PAUSE), Rng::new([1; 32]));
        let mut pace = Pace { backoff, was_answered: false, rng };
        let first = pace.next(false).expect("once, though it is linked");
        assert!(first <= FIRST_PAUSE * 3 / 2, "{first:?}");
        let unanswered = (0..20).filter_map(|_| pace.next(false)).max();
        assert!(unanswered > Some(LINKED_PAUSE_MAX / 2), "without links missing there is time");
        pace.was_answered = true;
        assert_eq!(pace.next(false), None);
        let alone: Vec<_> = (0..20).filter_map(|_| pace.next(true)).collect();
        assert_eq!(alone.len(), 20, "as long as it takes");
        assert!(alone[0] <= FIRST_PAUSE * 3 / 2 && alone[19] > ALONE_PAUSE_MAX / 2, "{alone:?}");
        assert!(alone.iter().all(|&pause| pause <= ALONE_PAUSE_MAX * 3 / 2), "{alone:?}");
    }
}
