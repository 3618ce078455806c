//! What changes about this node's membership while it runs: certificate, group secrets, revocations.
//!
//! The machine that learns and passes on is `news`; here it is wired to links and overlay.

use super::Node;
use super::api::Event;
use crate::NodeId;
use crate::news;
use crate::overlay::Instance;
use crate::session::gate::Gate;
use crate::time::Now;
use crate::wire::control::Control;
use crate::wire::news::lists;
use pki::{
    Certificate, Head, Keyring, LedgerError, LineError, Notice, Refusal, Revoked, SecretError,
    SignedSecret, Trust, UnixTime,
};
use std::collections::BTreeSet;

/// Notices that one announcement broadcasts at most, the newest; earlier ones are fetched over the links.
const ANNOUNCED_MAX: usize = 16;

/// Notices before one that those are told as well who want to hear of its victim: with it and the head a list
/// of 992 bytes at most, as long as a message of the hash table. Who lacks more asks its peers.
const NOTICES_BEFORE: u64 = 3;

/// Why nothing was announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// Without certificates there is nobody who could be revoked.
    #[error("this overlay has no authority: nobody can be revoked in it")]
    NoAuthority,
    /// A notice is not good.
    #[error("notices, {0}")]
    Notices(#[from] LineError),
    /// A secret is not good.
    #[error(transparent)]
    Secrets(#[from] SecretError),
}

impl Node {
    /// The overlay that only members are in.
    pub(super) fn members(&self) -> Option<Instance> {
        self.instances().find(|&instance| self.links.suite(instance).trust().is_some())
    }

    /// The authorities and revocations of the group; none without certificates.
    pub fn trust(&self) -> Option<&Trust> {
        self.links.suite(self.members()?).trust()
    }

    /// The generations of the group secret that are taken.
    pub fn keyring(&self) -> &Keyring {
        self.news.keyring()
    }

    /// Shows a renewed certificate of the same key and node from now on. Sessions stay: each gets the new one
    /// with its next keys, within an hour or so.
    pub fn renew(&mut self, certificate: &[u8], now: Now) -> Result<(), Refusal> {
        let members = self.members().ok_or(Refusal::NoCertificate)?;
        self.links.suite_mut(members).renew(certificate, now.unix)
    }

    /// Pins these authorities in the place of the present ones; returns whether they are others. Sessions stay, and
    /// what is revoked stays so. An overlay without certificates takes none.
    pub fn take_authorities(&mut self, authorities: &[Certificate]) -> Result<bool, pki::Error> {
        let Some(members) = self.members() else { return Ok(false) };
        let Some(trust) = self.links.suite_mut(members).trust_mut() else { return Ok(false) };
        trust.repin(authorities)
    }

    /// Takes generations of the group secret: the newest is used from now on, all are accepted, and peers are
    /// told. Returns how many were news; an overlay without certificates takes none. Stops at the first that
    /// is not good.
    pub fn take_secrets(
        &mut self,
        secrets: impl IntoIterator<Item = SignedSecret>,
        now: Now,
    ) -> Result<usize, SecretError> {
        let mut taken = Ok(0);
        self.with_news(now, |news, cx| {
            for secret in secrets {
                match news.take_secret(secret, cx) {
                    Ok(is_news) => taken = taken.map(|n| n + usize::from(is_news)),
                    Err(error) => return taken = Err(error),
                }
            }
        });
        self.settle(now);
        taken
    }

    /// Takes revocation notices in text form, one a line, ends the sessions that they concern and tells peers.
    /// Returns how many were news; an overlay without certificates takes none. Stops at the first bad line.
    pub fn take_notices(&mut self, text: &str, now: Now) -> Result<usize, LineError> {
        let Some(members) = self.members() else { return Ok(0) };
        let Some(trust) = self.links.suite_mut(members).trust_mut() else { return Ok(0) };
        let before = (trust.ledger().number(), trust.ledger().head().cloned());
        let taken = trust.ledger_mut().take_text(text);
        // What stood before a bad line counts.
        let after = (trust.ledger().number(), trust.ledger().head().cloned());
        if before != after || !matches!(taken, Ok(0)) {
            self.with_news(now, |news, cx| news.note_notices(cx));
        }
        if let Err(LineError { error: LedgerError::Fork { number }, .. }) = taken {
            self.event(Event::News(news::Event::Fork { number }));
        }
        self.settle(now);
        taken
    }

    /// Takes notices and secrets and tells everybody, by broadcast, of those notices that were news here; of the
    /// newest one if none was. Peers that a broadcast does not reach are told over their links. Besides, those
    /// are told by way of the hash table who have links with a victim: a notice that names a node says so
    /// itself, of others `victims` does, with the number of the notice or, without, by the newest one.
    pub fn announce(
        &mut self,
        notices: &str,
        secrets: Vec<SignedSecret>,
        victims: &[(NodeId, Option<u64>)],
        now: Now,
    ) -> Result<(), AnnounceError> {
        let members = self.members().ok_or(AnnounceError::NoAuthority)?;
        let before = self.trust().map_or(0, |trust| trust.ledger().number());
        self.take_notices(notices, now)?;
        self.take_secrets(secrets, now)?;
        let Some(ledger) = self.trust().map(Trust::ledger) else { return Ok(()) };
        let first = (before + 1).min(ledger.number());
        let newest = ledger.notices().rev().take_while(|notice| notice.number >= first);
        let newest: Vec<&Notice> = newest.take(ANNOUNCED_MAX).collect();
        let named = newest.iter().filter_map(|notice| match notice.subject {
            Revoked::Node(node) => Some((node, notice.number)),
            _ => None,
        });
        let number = ledger.number();
        let given = victims.iter().map(|&(node, notice)| (node, notice.unwrap_or(number)));
        let victims: BTreeSet<(NodeId, u64)> = named.chain(given).collect();
        let mut payloads: Vec<_> = newest.iter().rev().map(|notice| notice.to_bytes()).collect();
        payloads.extend(ledger.head().map(Head::to_bytes));
        let (until, hops) = (self.links.suite(members).node_id(), 0);
        let spread =
            payloads.into_iter().map(|payload| news::Effect::Spread { payload, until, hops });
        self.effects.news.extend(spread);
        victims.into_iter().for_each(|(victim, notice)| self.raise(victim, notice, now));
        self.settle(now);
        Ok(())
    }

    /// Tells those who want to hear of this victim.
    fn raise(&mut self, victim: NodeId, notice: u64, now: Now) {
        let Some(ledger) = self.trust().map(Trust::ledger) else { return };
        let Some(own) = ledger.get(notice).map(Notice::to_bytes) else { return };
        let before = (notice.saturating_sub(NOTICES_BEFORE)..notice).filter_map(|n| ledger.get(n));
        let head = ledger.head().map(Head::to_bytes);
        let before = head.into_iter().chain(before.map(Notice::to_bytes));
        let message = lists(before.chain([own.clone()])).swap_remove(0);
        self.with_watch(now, |watch, cx| watch.raise(victim, own, message, cx));
    }

    /// Crawls ask the overlay which notice this node knows.
    pub(super) fn tell_overlay_of_notices(&mut self) {
        let Some(members) = self.members() else { return };
        let Some(ledger) = self.trust().map(Trust::ledger) else { return };
        let at = self.news.taken_at(ledger).map_or(0, UnixTime::as_secs);
        let number = ledger.number();
        self.overlays[members.0 as usize].handle_noticed(number, at);
    }

    pub(super) fn on_news_message(&mut self, peer: NodeId, message: Control<'_>, now: Now) {
        self.with_news(now, |news, cx| match message {
            Control::Standing(knows) => news.handle_standing(peer, knows, cx),
            Control::NewsAsk(knows) => news.handle_ask(peer, knows, cx),
            Control::News { more, items } => news.handle_news(peer, more, items, cx),
            Control::Broadcast { hops, until, payload } => {
                news.handle_broadcast(peer, (payload, until, hops), cx);
            }
            _ => {}
        });
    }

    /// Broadcasts are passed on after the sessions of whom they put out have ended: effects of links and
    /// overlay are carried out before the next of these.
    pub(super) fn on_news(&mut self, effect: news::Effect, now: Now) {
        use news::Effect;
        let Some(members) = self.members() else { return };
        match effect {
            Effect::Send { peer, message } => self.with_links(now, |links, cx| {
                links.send(members, peer, &message, cx);
            }),
            Effect::Rejudge => self.with_links(now, |links, cx| links.rejudge(cx)),
            Effect::Secrets => {
                let gates = self.news.keyring().secrets().map(Gate::group).collect();
                self.links.set_gates(members, gates);
            }
            Effect::Spread { payload, until, hops } => {
                self.with_overlay(members, now, |overlay, cx| {
                    overlay.spread(&payload, until, hops, cx);
                });
            }
            Effect::Event(event) => {
                self.tell_overlay_of_notices();
                self.event(Event::News(event));
            }
        }
    }
}
