//! From command to events: every rule of a group, without a clock, a table or a socket.

use pki::{NOTICES_MAX, Revoked, UnixTime};

use super::command::{Command, Context, Decision, Expired, Order};
use super::entity::{Ended, Person, Request, RequestState, Role, Standing};
use super::event::Event;
use super::id::{RequestId, UserId};
use super::refusal::Refusal;
use super::{enrolling, token};

/// Longest reason or note in characters: a paragraph.
pub const TEXT_CHARS_MAX: usize = 500;
/// Most requests of a group that wait: more than an administrator will read.
pub const PENDING_MAX: u32 = 1000;
/// Most notices that ordinary members cause by leaving or by ending their own nodes. The other half
/// of the chain stays free for administrators.
pub const NOTICES_FOR_MEMBERS: u32 = (NOTICES_MAX / 2) as u32;

/// Decides on a command.
pub fn decide(ctx: &Context, command: &Command, now: UnixTime) -> Result<Decision, Refusal> {
    match command {
        Command::Ask { reason } => ask(ctx, reason),
        Command::Withdraw { request } => withdraw(ctx, *request),
        Command::Judge { request, approve, note } => judge(ctx, *request, *approve, note),
        Command::SetRole { user, role } => set_role(ctx, *user, *role),
        Command::Remove { user, reason } => remove(ctx, *user, reason),
        Command::Leave => leave(ctx),
        Command::Change { changes, seen } => {
            administrator(ctx)?;
            let present = &ctx.group.policies;
            if seen.as_ref().is_some_and(|seen| *seen != present.fingerprint()) {
                return Err(Refusal::ChangedMeanwhile);
            }
            let policies = changes.made_to(present);
            policies.check()?;
            Ok(Decision::events([Event::GroupChanged { policies }]))
        }
        Command::Delete => {
            if !ctx.actor.as_ref().is_some_and(|actor| actor.site_admin) {
                administrator(ctx)?;
            }
            Ok(Decision::events([Event::GroupDeleted]))
        }
        Command::DrawToken { hash, options } => token::draw(ctx, *hash, options, now),
        Command::EndToken { token } => token::end(ctx, *token),
        Command::Revoke { what, reason } => revoke(ctx, what, reason),
        Command::NameNode { spki, host, salt } => {
            enrolling::name_node(ctx, spki, host.as_deref(), *salt, now)
        }
        Command::Certify { node } => enrolling::certify(ctx, *node, now),
        Command::Renew { node, serial } => enrolling::renew(ctx, *node, *serial),
        Command::Expire(Expired::Token(token)) => Ok(token::expire(token)),
        Command::Expire(Expired::Node(node)) => {
            let mut decision = Decision::default();
            decision.end_node(node, Ended::Expired);
            Ok(decision)
        }
    }
}

fn ask(ctx: &Context, reason: &str) -> Result<Decision, Refusal> {
    let asker = actor(ctx)?;
    check_text("reason", reason)?;
    match asker.standing {
        Standing::Member(_) => return Err(Refusal::AlreadyMember),
        Standing::Asked(_) => return Err(Refusal::AlreadyAsked),
        Standing::Outside | Standing::Denied => {}
    }
    let user = asker.user.clone();
    let request = RequestId(ctx.group.next);
    let asked = Event::Asked { request, user: user.clone(), reason: reason.to_owned() };
    // Whom an administrator has denied is not let in by a rule.
    let admitted = ctx.group.policies.approval.admits(ctx.group.members);
    if admitted && asker.standing == Standing::Outside {
        let note = "approved by the group's policy".to_owned();
        let approved = Event::RequestApproved { request, user: user.clone(), note };
        let joined = Event::MemberJoined { user, role: Role::Member };
        return Ok(Decision::events([asked, approved, joined]));
    }
    if ctx.group.pending >= PENDING_MAX {
        return Err(Refusal::TooMany("requests to join are waiting"));
    }
    Ok(Decision::events([asked]))
}

fn withdraw(ctx: &Context, id: RequestId) -> Result<Decision, Refusal> {
    let asker = actor(ctx)?;
    let request = pending(ctx, id, |request| request.user.id == asker.user.id)?;
    let user = request.user.clone();
    Ok(Decision::events([Event::RequestWithdrawn { request: id, user }]))
}

fn judge(ctx: &Context, id: RequestId, approve: bool, note: &str) -> Result<Decision, Refusal> {
    administrator(ctx)?;
    check_text("note", note)?;
    let request = pending(ctx, id, |_| true)?;
    let (user, note) = (request.user.clone(), note.to_owned());
    if !approve {
        return Ok(Decision::events([Event::RequestDenied { request: id, user, note }]));
    }
    if ctx.target.as_ref().is_none_or(|asker| !asker.enabled) {
        return Err(Refusal::AccountDisabled);
    }
    let approved = Event::RequestApproved { request: id, user: user.clone(), note };
    Ok(Decision::events([approved, Event::MemberJoined { user, role: Role::Member }]))
}

fn set_role(ctx: &Context, user: UserId, role: Role) -> Result<Decision, Refusal> {
    administrator(ctx)?;
    let member = member(ctx, user)?;
    if member.standing == Standing::Member(role) {
        return Ok(Decision::default());
    }
    if role == Role::Member {
        keeps_an_administrator(ctx, member)?;
    }
    Ok(Decision::events([Event::RoleChanged { user: member.user.clone(), role }]))
}

fn remove(ctx: &Context, user: UserId, reason: &str) -> Result<Decision, Refusal> {
    administrator(ctx)?;
    check_text("reason", reason)?;
    let member = member(ctx, user)?;
    keeps_an_administrator(ctx, member)?;
    let (user, reason) = (member.user.clone(), reason.to_owned());
    let removed = Event::MemberRemoved { user: user.clone(), reason: reason.clone() };
    Ok(put_out(ctx, removed, Revoked::User(user.name), reason))
}

fn leave(ctx: &Context) -> Result<Decision, Refusal> {
    let actor = actor(ctx)?;
    if !actor.is_member() {
        return Err(Refusal::NotMember);
    }
    keeps_an_administrator(ctx, actor)?;
    if !ctx.victims.is_empty() {
        spares_the_ledger(ctx)?;
    }
    let user = actor.user.clone();
    let left = Event::MemberLeft { user: user.clone() };
    Ok(put_out(ctx, left, Revoked::User(user.name), "left the group".to_owned()))
}

/// A member goes; where nodes have certificates, a notice says so.
fn put_out(ctx: &Context, event: Event, what: Revoked, reason: String) -> Decision {
    let victims: Vec<_> = ctx.victims.iter().map(|node| node.id).collect();
    let order = Order::Revoke { what, reason, victims };
    let orders = if ctx.victims.is_empty() { Vec::new() } else { vec![order] };
    Decision { events: vec![event], orders }
}

fn revoke(ctx: &Context, what: &Revoked, reason: &str) -> Result<Decision, Refusal> {
    check_text("reason", reason)?;
    let own = ctx.actor.as_ref().is_some_and(|actor| {
        let whose = |node: &&super::entity::Node| node.user.id != actor.user.id;
        actor.is_member() && !ctx.victims.is_empty() && ctx.victims.iter().find(whose).is_none()
    });
    match administrator(ctx) {
        Ok(()) => {}
        Err(_) if own && !matches!(what, Revoked::User(_)) => spares_the_ledger(ctx)?,
        Err(refusal) => return Err(refusal),
    }
    let known = match what {
        Revoked::Serial(_) => ctx.certificate.is_some(),
        Revoked::Node(_) => {
            ctx.node.as_ref().is_some_and(|node| node.ended != Some(Ended::Revoked))
        }
        // Also one without nodes: the blob holds the group secret, and the notice starts another.
        Revoked::User(_) => ctx.target.as_ref().is_some_and(Person::is_member),
        Revoked::Issuer(_) => false,
    };
    if !known {
        return Err(Refusal::NothingToRevoke);
    }
    let mut decision = Decision::default();
    if !matches!(what, Revoked::Serial(_)) {
        ctx.victims.iter().for_each(|node| decision.end_node(node, Ended::Revoked));
    }
    if let (Revoked::User(_), Some(person)) = (what, &ctx.target) {
        // Or a stolen blob would enrol the next node, and its thief download one more.
        keeps_an_administrator(ctx, person)?;
        let (user, reason) = (person.user.clone(), reason.to_owned());
        decision.events.push(Event::MemberRemoved { user, reason });
    }
    let victims = ctx.victims.iter().map(|node| node.id).collect();
    decision.orders.push(Order::Revoke { what: what.clone(), reason: reason.to_owned(), victims });
    Ok(decision)
}

/// The user who gives the command.
pub(super) fn actor(ctx: &Context) -> Result<&Person, Refusal> {
    let actor = ctx.actor.as_ref().ok_or(Refusal::NotMember)?;
    actor.enabled.then_some(actor).ok_or(Refusal::AccountDisabled)
}

/// Checks that an administrator of the group gives it, or who has the machine.
pub(super) fn administrator(ctx: &Context) -> Result<(), Refusal> {
    let may = ctx.trusted || actor(ctx)?.is_administrator();
    may.then_some(()).ok_or(Refusal::NotAdministrator)
}

/// The member whom the command names.
fn member(ctx: &Context, user: UserId) -> Result<&Person, Refusal> {
    let named = ctx.target.as_ref().filter(|target| target.user.id == user && target.is_member());
    named.ok_or(Refusal::NotFound("member"))
}

fn keeps_an_administrator(ctx: &Context, goes: &Person) -> Result<(), Refusal> {
    let last = goes.is_administrator() && ctx.group.administrators <= 1;
    if last { Err(Refusal::LastAdministrator) } else { Ok(()) }
}

fn spares_the_ledger(ctx: &Context) -> Result<(), Refusal> {
    let spares = ctx.group.notices < NOTICES_FOR_MEMBERS;
    spares.then_some(()).ok_or(Refusal::LedgerFull)
}

fn pending(
    ctx: &Context,
    id: RequestId,
    may_know: impl Fn(&Request) -> bool,
) -> Result<&Request, Refusal> {
    let named = ctx.request.as_ref().filter(|request| request.id == id && may_know(request));
    let request = named.ok_or(Refusal::NotFound("request"))?;
    let open = request.state == RequestState::Pending;
    open.then_some(request).ok_or(Refusal::RequestDecided)
}

pub(super) fn check_text(field: &'static str, text: &str) -> Result<(), Refusal> {
    let fits = text.chars().count() <= TEXT_CHARS_MAX;
    fits.then_some(()).ok_or(Refusal::TextTooLong { field, max: TEXT_CHARS_MAX })
}
