//! How a node becomes a member before its daemon opens anything, and with what it goes on.
//!
//! The grant of an earlier run, kept in the state directory, is as good as a new one: then no service is
//! asked. What a grant says about authorities, network and bootstrap nodes counts more than what the blob
//! says, which may be older.
//!
//! A node that was put out comes back with another key, and only by a token that it has not been enrolled by: its
//! user was let in again. With the token that it had before, it would let itself in again at its next start.

use std::path::Path;

use pki::enrolment::{Code, Grant};
use pki::{Blob, Enrolment, PrivateKey, UnixTime};

use super::flow::{Flow, Progress, Step, Verdict};
use super::service::Service;
use crate::ca::read_certificate;
use crate::clock::Clock;
use crate::config::{Config, read_text};
use crate::failure::Failure;
use crate::identity;
use crate::notify;
use crate::state::StateDir;

/// What keeps a membership alive while the daemon runs.
pub struct Membership {
    /// Where to ask.
    pub enrolment: Enrolment,
    /// When to ask.
    pub flow: Flow,
    /// When the service granted the certificate, if that was in this run.
    pub granted_at: Option<UnixTime>,
}

/// Makes sure that the node has a certificate, and completes the configuration with what was granted. `None`
/// if the blob names no service.
pub async fn membership(
    config: &mut Config,
    certificate: Option<&Path>,
    state: &StateDir,
    clock: Clock,
) -> Result<Option<Membership>, Failure> {
    let Some(enrolment) = config.enrolment().cloned() else { return Ok(None) };
    // What was handed over counts besides whatever the service names, now and later.
    let handed = config.blob.iter().flat_map(|blob| blob.bootstrap.clone());
    config.bootstrap.extend(handed.collect::<Vec<_>>());
    let key = key(config, state)?;
    let group = config.group()?.to_owned();
    let mut flow = Flow::newcomer(key.clone(), &group, host_name(), seed()?);
    let former = state.enrolled_by();
    let has_new_token = former.is_some_and(|former| former != enrolment.token.hash());
    let kept = kept(state, &group, &key)?;
    if has_new_token && kept.as_ref().is_some_and(|grant| is_put_out(grant, state)) {
        tracing::warn!("this node was put out: it asks to be let in by the new token of the blob");
    } else if let Some(grant) = kept {
        let (certificate, renew_at) = (grant.certificate.clone(), Some(grant.renew_at));
        flow = flow.resume(certificate, renew_at).map_err(Failure::identity)?;
        if !is_over(&grant, clock.now().unix) {
            if has_new_token {
                tracing::warn!(
                    "this node is enrolled already, so the certificate that it has counts, and the \
                     new token of the blob enrols nobody: for another node choose another \
                     --state-dir DIR"
                );
            } else if former.is_none() {
                state.set_enrolled_by(&enrolment.token)?;
            }
            adopt(config, grant)?;
            return Ok(Some(Membership { enrolment, flow, granted_at: None }));
        }
    } else if config.blob.is_some()
        && (certificate.is_some() || is_signed_elsewhere(config, &key, state, clock.now().unix)?)
    {
        // Signed elsewhere: the service is asked when it is to be renewed.
        return Ok(Some(Membership { enrolment, flow, granted_at: None }));
    }
    judge(config, certificate, &key)?;
    let may_change_key =
        has_new_token && config.blob.as_ref().is_none_or(|blob| blob.key.is_none());
    let grant = ask_for_grant(&mut flow, &enrolment, may_change_key, state, clock).await?;
    adopt(config, grant)?;
    Ok(Some(Membership { enrolment, flow, granted_at: Some(clock.now().unix) }))
}

/// Judges what would make the start fail after the service has granted, so that a slip costs no place of the
/// quota. An address that the network does not have is found by the grant alone, where no blob names the network.
fn judge(config: &Config, certificate: Option<&Path>, key: &PrivateKey) -> Result<(), Failure> {
    let given = config.blob.as_ref().and_then(|blob| blob.key.as_ref());
    if given.is_some_and(|given| given.spki() != key.spki()) {
        return Err(identity::another_key());
    }
    if let Some(path) = &config.notices {
        read_text(path)?;
    }
    let Some(path) = certificate else { return Ok(()) };
    let member = read_certificate(path)?.unverified().map_err(Failure::identity)?;
    if member.spki != key.spki() {
        return Err(identity::another_certificate());
    }
    identity::check_address(member.ipv4, config.address)
}

/// Follows the flow until there is a certificate that is valid now. Whether the token is still good, and its user
/// a member, the service has judged when it says that the key is revoked.
async fn ask_for_grant(
    flow: &mut Flow,
    enrolment: &Enrolment,
    mut may_change_key: bool,
    state: &StateDir,
    clock: Clock,
) -> Result<Grant, Failure> {
    let mut service = Service::new(enrolment)?;
    let server = service.server();
    tracing::info!(%server, "asking for a certificate");
    loop {
        let question = match flow.poll(clock.now()).map_err(Failure::identity)? {
            Step::Ask(question) => question,
            Step::Wait(pause) => {
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        let answer = service.ask(&question).await;
        let now = clock.now();
        let progress = answer.and_then(|answer| {
            flow.handle_answer(answer, now).map_err(|why| service.unusable(why))
        });
        match progress {
            Ok(Progress::Identified(node)) => tracing::info!(%node, "the node has its id"),
            Ok(Progress::Pending) => {
                tracing::warn!(%server, "waiting until an administrator of the group approves");
                // A service manager would take the wait for a failed start.
                notify::ready();
            }
            Ok(Progress::Granted(grant)) => {
                state.set_enrolled_by(&enrolment.token)?;
                state.set_grant(&grant)?;
                tracing::info!(%server, "certificate granted");
                return Ok(*grant);
            }
            Ok(Progress::Quiet) => {}
            Err(trouble)
                if trouble.code() == Some(Code::NodeRevoked)
                    && std::mem::take(&mut may_change_key) =>
            {
                tracing::warn!(
                    %server,
                    "the key of this node is revoked: it is kept as revoked-key.pem, and a new one made"
                );
                state.set_key_aside()?;
                let key = PrivateKey::generate();
                state.set_key(&key)?;
                flow.change_key(key);
            }
            Err(trouble) if flow.handle_trouble(&trouble, now) == Verdict::GiveUp => {
                return Err(trouble.into_failure());
            }
            Err(trouble) => tracing::warn!("{trouble}; trying again"),
        }
    }
}

/// Completes the configuration with what was granted.
fn adopt(config: &mut Config, grant: Grant) -> Result<(), Failure> {
    let earlier = config.blob.take();
    config.stale_policy.get_or_insert(grant.stale_policy);
    let mut blob = Blob::new(grant.network, grant.ca, grant.bootstrap, grant.secrets);
    blob.root = grant.root;
    blob.certificate = Some(grant.certificate);
    blob.notices = grant.notices.lines().map(str::to_owned).collect();
    blob.key = earlier.and_then(|earlier| earlier.key);
    config.complete(blob)
}

/// The grant of an earlier run, if it is this node's.
fn kept(state: &StateDir, group: &str, key: &PrivateKey) -> Result<Option<Grant>, Failure> {
    let Some(grant) = state.grant()? else { return Ok(None) };
    if grant.network.group != group {
        return Err(Failure::identity(format!(
            "the state directory is that of a node of {}, and the blob is of {group}: choose \
             another with --state-dir DIR",
            grant.network.group
        )));
    }
    let is_ours = grant.certificate.unverified().is_ok_and(|member| member.spki == key.spki());
    Ok(is_ours.then_some(grant))
}

/// Whether a notice that came with the grant, or since, puts the node out.
fn is_put_out(grant: &Grant, state: &StateDir) -> bool {
    let (Ok(mut trust), Ok(member)) = (grant.trust(), grant.certificate.unverified()) else {
        return false;
    };
    if let Ok(Some(text)) = state.notices() {
        // Those of an earlier authority no longer fit.
        let _ = trust.ledger_mut().take_text(&text);
    }
    trust.ledger().is_revoked(&member).is_some()
}

/// Whether blob or state directory hold a certificate of this key that is not over.
fn is_signed_elsewhere(
    config: &Config,
    key: &PrivateKey,
    state: &StateDir,
    now: UnixTime,
) -> Result<bool, Failure> {
    let enclosed = config.blob.as_ref().and_then(|blob| blob.certificate.clone());
    let group = config.group()?;
    Ok([enclosed, state.certificate()?].into_iter().flatten().any(|certificate| {
        certificate.unverified().is_ok_and(|member| {
            member.spki == key.spki() && member.group == group && now < member.not_after
        })
    }))
}

/// The node's key, made now if there is none.
fn key(config: &Config, state: &StateDir) -> Result<PrivateKey, Failure> {
    if let Some(key) = state.key()? {
        return Ok(key);
    }
    let given = config.blob.as_ref().and_then(|blob| blob.key.clone());
    let key = given.unwrap_or_else(PrivateKey::generate);
    state.set_key(&key)?;
    Ok(key)
}

fn is_over(grant: &Grant, now: UnixTime) -> bool {
    grant.certificate.unverified().map_or(true, |member| member.not_after <= now)
}

/// What this host calls itself, for its owner's list of nodes.
pub fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    name.trim().split('.').next().map(str::to_owned)
}

/// Draws what the flow draws from.
pub fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed)
        .map_err(|_| Failure::host("the system has no randomness to give"))?;
    Ok(seed)
}
