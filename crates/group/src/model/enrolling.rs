//! Nodes: how a key gets its ID, and the ID its certificates.
//!
//! A salt is drawn once per key, after the key was seen, and counts against the member's quota and
//! daily rate, so that nobody shops for a place on the ring.

use pki::{NodeId, Salt, Serial, UnixTime};

use super::command::{Context, Decision, Order, Permit};
use super::entity::{Ended, Node, Person, Standing, Token};
use super::event::Event;
use super::refusal::Refusal;
use super::token;

/// How many salts are drawn for a member within a day, in quotas: a machine may be set up anew a
/// few times, but an ID near a chosen one of n members takes n draws.
pub const DRAWS_PER_QUOTA: u32 = 4;

/// The answer to a node whose user waits for approval, while that is neither yes nor no.
pub(super) fn waits(person: &Person) -> bool {
    matches!(person.standing, Standing::Asked(_))
}

/// Names a node: the salt that was drawn for its key, or a new one.
pub(super) fn name_node(
    ctx: &Context,
    spki: &[u8],
    host: Option<&str>,
    salt: Salt,
    now: UnixTime,
) -> Result<Decision, Refusal> {
    let token = usable(ctx, now)?;
    let user = bearer(ctx)?;
    if let Some(node) = &ctx.node
        && !(node.user.id == user.user.id && may_return(node))
    {
        return own(node, user).map(|_| Decision::default());
    }
    if token.ended == Some(Ended::UsedUp) {
        return Err(Refusal::TokenUsedUp);
    }
    let quota = ctx.group.policies.quota;
    if ctx.nodes.live >= quota {
        return Err(Refusal::QuotaExceeded { quota });
    }
    if let Some(node) = &ctx.node {
        let returned = Event::NodeReturned { node: node.id, user: user.user.clone() };
        return Ok(Decision::events([returned]));
    }
    if ctx.nodes.drawn_lately >= quota.saturating_mul(DRAWS_PER_QUOTA) {
        return Err(Refusal::RateLimited);
    }
    let mut decision = Decision::events([Event::NodeNamed {
        node: NodeId::salted(&salt, spki),
        user: user.user.clone(),
        token: token.id,
        salt,
        host: host.map(str::to_owned),
        ephemeral: token.ephemeral,
        spki: spki.to_vec(),
    }]);
    if !token.reusable {
        decision.events.push(token::ended(token, Ended::UsedUp));
    }
    Ok(decision)
}

/// Lets the authority sign a first certificate; an empty decision means that approval is awaited.
pub(super) fn certify(ctx: &Context, id: NodeId, now: UnixTime) -> Result<Decision, Refusal> {
    usable(ctx, now)?;
    let user = bearer(ctx)?;
    let node = ctx.node.as_ref().filter(|node| node.id == id).ok_or(Refusal::IdMismatch)?;
    let node = own(node, user)?;
    if waits(user) {
        return Ok(Decision::default());
    }
    Ok(permit(ctx, node, false))
}

/// Lets the authority sign a renewal. That the asker holds the key of an unrevoked certificate of
/// the right age was verified before.
pub(super) fn renew(ctx: &Context, id: NodeId, serial: Serial) -> Result<Decision, Refusal> {
    let known = |certificate: &super::entity::Issued| {
        certificate.serial == serial && certificate.node == id
    };
    if !ctx.certificate.as_ref().is_some_and(known) {
        return Err(Refusal::CertificateUnknown);
    }
    let node = ctx.node.as_ref().filter(|node| node.id == id).ok_or(Refusal::CertificateUnknown)?;
    let user = bearer(ctx)?;
    if !user.is_member() {
        return Err(Refusal::MembershipEnded);
    }
    Ok(permit(ctx, own(node, user)?, true))
}

fn permit(ctx: &Context, node: &Node, renewal: bool) -> Decision {
    let life = ctx.group.policies.certificate_life();
    let permit = Permit { node: node.clone(), life, renewal };
    Decision { events: Vec::new(), orders: vec![Order::Certify(permit)] }
}

/// The token that came with the command, if it is still good. One that is used up is good for the
/// node that has used it.
fn usable(ctx: &Context, now: UnixTime) -> Result<&Token, Refusal> {
    let token = ctx.token.as_ref().ok_or(Refusal::TokenUnknown)?;
    if token.group != ctx.group.id {
        return Err(Refusal::TokenForeign);
    }
    match token.ended {
        Some(Ended::MembershipEnded | Ended::Revoked) => return Err(Refusal::MembershipEnded),
        Some(Ended::ByUser) => return Err(Refusal::TokenEnded),
        Some(Ended::Expired) => return Err(Refusal::TokenExpired),
        Some(Ended::UsedUp) | None => {}
    }
    (now < token.expires).then_some(token).ok_or(Refusal::TokenExpired)
}

/// The user whose token or node it is, if the group knows the user.
fn bearer(ctx: &Context) -> Result<&Person, Refusal> {
    let user = ctx.target.as_ref().ok_or(Refusal::MembershipEnded)?;
    if !user.enabled {
        return Err(Refusal::AccountDisabled);
    }
    match user.standing {
        Standing::Member(_) | Standing::Asked(_) => Ok(user),
        Standing::Denied => Err(Refusal::RequestDenied),
        Standing::Outside => Err(Refusal::MembershipEnded),
    }
}

/// The node, if it is the user's and counts.
fn own<'a>(node: &'a Node, user: &Person) -> Result<&'a Node, Refusal> {
    if node.user.id != user.user.id {
        return Err(Refusal::KeyTaken);
    }
    match node.ended {
        None => Ok(node),
        Some(Ended::Expired | Ended::MembershipEnded) => Err(Refusal::CertificateTooOld),
        Some(Ended::ByUser | Ended::UsedUp | Ended::Revoked) => Err(Refusal::NodeRevoked),
    }
}

/// Whether a node that counts no more may come back with its key: what a notice names may not.
fn may_return(node: &Node) -> bool {
    matches!(node.ended, Some(Ended::Expired | Ended::MembershipEnded))
}

/// Checks that a user may have the blob: members only, it may hold the group secret.
pub const fn may_have_blob(person: &Person) -> Result<(), Refusal> {
    match person.standing {
        Standing::Member(_) => Ok(()),
        Standing::Denied => Err(Refusal::RequestDenied),
        Standing::Asked(_) | Standing::Outside => Err(Refusal::NotMember),
    }
}
