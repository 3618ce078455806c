//! Tokens: what lets a machine enrol as somebody's node.

use std::time::Duration;

use pki::UnixTime;
use pki::enrolment::SecretHash;

use super::command::{Context, Decision, TokenOptions};
use super::decide::{actor, check_text};
use super::entity::{Ended, Standing, Token};
use super::event::Event;
use super::id::TokenId;
use super::refusal::Refusal;

/// Usual life of a token: a quarter, so that a forgotten blob does not stay good for ever.
pub const TOKEN_LIFE_DEFAULT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Longest life of a token: a year.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Shortest life of a token: a minute.
pub const TOKEN_LIFE_MIN: Duration = Duration::from_secs(60);

/// Hands out a token. Somebody whose request waits may have one as well: it enrols once the
/// request is granted (device flow), while a blob, which holds the group secret, is for members.
pub(super) fn draw(
    ctx: &Context,
    hash: SecretHash,
    options: &TokenOptions,
    now: UnixTime,
) -> Result<Decision, Refusal> {
    let user = actor(ctx)?;
    match user.standing {
        Standing::Member(_) | Standing::Asked(_) => {}
        Standing::Denied => return Err(Refusal::RequestDenied),
        Standing::Outside => return Err(Refusal::NotMember),
    }
    check_text("label", &options.label)?;
    if !(TOKEN_LIFE_MIN..=TOKEN_LIFE_MAX).contains(&options.life) {
        return Err(Refusal::Setting("a token lives one minute to 366 days"));
    }
    Ok(Decision::events([Event::TokenDrawn {
        token: TokenId(ctx.group.next),
        user: user.user.clone(),
        label: options.label.clone(),
        reusable: options.reusable,
        ephemeral: options.ephemeral,
        expires: now + options.life,
        hash,
    }]))
}

/// Ends a token: one's own, or that of another member as administrator.
pub(super) fn end(ctx: &Context, id: TokenId) -> Result<Decision, Refusal> {
    let may = |token: &&Token| {
        let owner = ctx.actor.as_ref().is_some_and(|actor| actor.user.id == token.user.id);
        token.id == id && (owner || super::decide::administrator(ctx).is_ok())
    };
    let token = ctx.token.as_ref().filter(may).ok_or(Refusal::NotFound("token"))?;
    match token.ended {
        Some(_) => Ok(Decision::default()),
        None => Ok(Decision::events([ended(token, Ended::ByUser)])),
    }
}

/// Ends a token whose time is over.
pub(super) fn expire(token: &Token) -> Decision {
    Decision::events([ended(token, Ended::Expired)])
}

pub(super) fn ended(token: &Token, why: Ended) -> Event {
    Event::TokenEnded { token: token.id, user: token.user.clone(), why }
}
