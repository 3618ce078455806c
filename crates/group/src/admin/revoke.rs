//! How a member is put out without the web page, and how one waits until the others know.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use pki::Revoked;

use crate::daemon::{Daemons, KnownBy, PROGRAM_PATIENCE};
use crate::http::now;
use crate::model::Caller;
use crate::service::Service;

/// Pause between two counts: a walk of the ring each.
const PAUSE: Duration = Duration::from_secs(2);

/// Signs a notice; returns its number. From here on it counts: members that ask the service get it.
pub async fn revoke(service: &Service, group: &str, what: Revoked, reason: String) -> Result<u64> {
    Ok(service.revoke(&Caller::operator(), group, what, reason, now()).await?)
}

/// Whether somebody who was put out may be back as soon as he asks.
pub async fn lets_in_who_asks(service: &Service, group: &str) -> Result<bool> {
    let group = service.group(&Caller::operator(), group).await?;
    Ok(group.policies.approval.admits(group.summary.members))
}

/// Passes what is signed on to the group's daemon, if it has one.
pub async fn pass_on(service: &Service, group: &str) -> Result<()> {
    Daemons::new(service).announce(group).await
}

/// Waits until all live members know a notice, or for so long at the most; returns who does.
pub async fn wait(
    service: &Service,
    group: &str,
    number: u64,
    patience: Duration,
) -> Result<KnownBy> {
    let daemons = Daemons::new(service);
    let (begun, notice) = (Instant::now(), (number, now()));
    loop {
        let known = daemons.known_by(group, notice, PROGRAM_PATIENCE).await;
        let all = known.is_some_and(|known| known.complete && known.acknowledged == known.live);
        match known {
            Some(known) if all || begun.elapsed() + PAUSE > patience => return Ok(known),
            None if begun.elapsed() + PAUSE > patience => {
                bail!(
                    "revoked, but the group's daemon does not answer, so nobody counts who knows it"
                )
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}
