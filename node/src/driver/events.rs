//! What the node says that happened, and what the host or its user says: logged, remembered, passed on.

use std::net::SocketAddr;

use pki::Refusal;
use proto::node::api::Event;
use proto::path::Path;
use proto::session::suite;
use proto::vpn;

use super::Driver;
use crate::advice;
use crate::bootstrap::{self, Moved};
use crate::endpoints;
use crate::failure::Failure;
use crate::overlays::Kind;
use crate::state::Lease;

/// What comes up again with each try, and is not told each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    NoAnswer(SocketAddr),
    Refused { path: Path, why: suite::Failure, by_us: bool },
    OwnCertificate(Refusal),
    Fork,
    Addresses,
}

impl Driver {
    /// Notes what happened in the node.
    pub(super) fn note(&mut self, event: Event) {
        self.work.links_changed |= matches!(
            event,
            Event::LinkUp { .. } | Event::LinkMoved { .. } | Event::LinkDown { .. }
        );
        match event {
            Event::Joined { instance, after } => {
                tracing::info!(?after, overlay = self.overlays.kind(instance).name(), "joined");
            }
            Event::LinkUp { instance, peer, member, path } => {
                let (user, group) = member.unzip();
                let overlay = self.overlays.kind(instance).name();
                tracing::info!(overlay, %peer, user, group, ?path, "link up");
                if self.overlays.kind(instance) == Kind::Private {
                    self.work.trouble = None;
                }
                if let Path::Direct(endpoint) = path {
                    self.overlays.known(instance).linked(peer, endpoint);
                    self.work.troubles.forget(|trouble| trouble.is_with(endpoint));
                }
            }
            Event::LinkMoved { instance, peer, path } => {
                let overlay = self.overlays.kind(instance).name();
                tracing::info!(overlay, %peer, ?path, "link moved");
                if let Path::Direct(endpoint) = path {
                    self.overlays.known(instance).linked(peer, endpoint);
                }
            }
            Event::LinkDown { instance, peer, reason } => {
                let overlay = self.overlays.kind(instance).name();
                tracing::info!(overlay, %peer, reason, "link down");
            }
            // Anybody may call at a public overlay with anything: nothing for an operator to act upon.
            Event::Refused { instance, path, why, .. }
                if self.overlays.kind(instance) == Kind::Public =>
            {
                tracing::debug!(?path, "refused in the public overlay: {why}");
            }
            Event::Refused { path, why, by_us, .. } => self.note_refusal(path, why, by_us),
            Event::NoAnswer { endpoint }
                if self.work.refused_last.take() == Some(Path::Direct(endpoint)) => {}
            Event::NoAnswer { endpoint } => {
                let (secret, remedy) = match self.config.psk_file {
                    None => ("old secret", "take the newest blob of its group"),
                    Some(_) => ("another key", "give both the same key and group name"),
                };
                let text = format!(
                    "no answer: wrong group, {secret} or UDP blocked; {remedy}, and see that it runs \
                     and that UDP reaches it"
                );
                if self.work.trouble.is_none() && !self.is_linked() {
                    self.work.trouble = Some(format!("{endpoint}: {text}"));
                }
                if let Some(repeats) = self.is_news(Trouble::NoAnswer(endpoint)) {
                    tracing::warn!(%endpoint, repeats, "{text}");
                }
            }
            Event::Vpn(event) => self.note_vpn(event),
            Event::IdInUse { instance } if self.overlays.kind(instance) == Kind::Public => {
                tracing::warn!(
                    "a peer in the public overlay says that another node has this node's key \
                     there; if one was made from a copy of this state directory, remove its \
                     public-overlay-key.pem"
                );
            }
            Event::News(event) => self.note_news(event),
            Event::IdInUse { .. } => {
                self.work.stop = Some(Failure::identity(
                    "another running node has this node's key: give each node a state directory, \
                     and with it a key, of its own",
                ));
            }
        }
    }

    fn note_refusal(&mut self, path: Path, why: suite::Failure, by_us: bool) {
        self.work.refused_last = Some(path);
        let now = self.clock.now().unix;
        let identity = self.identity.as_ref();
        // With a certificate that it would refuse itself a node does not even begin a handshake.
        let own = identity.and_then(|own| own.trust.rejudge(&own.member, now).err());
        let own = own.filter(|&own| by_us && why == suite::Failure::Refused(own));
        let (trouble, text) = if let Some(refusal) = own {
            let text = format!("no new links: {}", advice::on_own(refusal, now));
            (Trouble::OwnCertificate(refusal), text)
        } else if by_us {
            let text = format!("peer refused: {}", advice::on_peer(why, now));
            (Trouble::Refused { path, why, by_us }, text)
        } else {
            let why_us = match identity {
                Some(identity) => advice::from_peer(why, identity.member.not_after, now),
                None => why.to_string(),
            };
            (Trouble::Refused { path, why, by_us }, format!("refused by the peer: {why_us}"))
        };
        let is_about_us = own.is_some() || !by_us && matches!(why, suite::Failure::Refused(_));
        if is_about_us && !self.is_linked() {
            self.work.trouble = Some(text.clone());
        }
        if let Some(repeats) = self.is_news(trouble) {
            tracing::warn!(?path, repeats, "{text}");
        }
    }

    /// Whether any member of the group is linked.
    pub(super) fn is_linked(&self) -> bool {
        let mut sessions = self.node.links().sessions();
        sessions.any(|(_, session)| self.overlays.kind(session.instance) == Kind::Private)
    }

    /// Whether a line about this is due, with the number of times that it came up since the last one, if there
    /// was one: the field is left out of the first.
    pub(super) fn is_news(&mut self, trouble: Trouble) -> Option<Option<u64>> {
        let repeats = self.work.troubles.note(trouble, self.clock.instant())?;
        Some((repeats > 0).then_some(repeats))
    }

    fn note_vpn(&mut self, event: vpn::Event) {
        match event {
            vpn::Event::Leased(ipv4) => {
                self.work.address_trouble = None;
                tracing::info!(%ipv4, "{event}");
                let node = self.node.id();
                if let Err(error) = self.state.set_lease(Lease { node, ipv4 }) {
                    tracing::warn!(%error, "lease not saved");
                }
            }
            vpn::Event::Spoofed { .. } => tracing::warn!("{event}"),
            vpn::Event::Taken(_)
            | vpn::Event::Lost(_)
            | vpn::Event::Contested(_)
            | vpn::Event::SubnetFull
            | vpn::Event::ClocksDiffer => {
                tracing::warn!("{event}");
                self.work.address_trouble = Some(event.to_string());
            }
        }
    }

    /// Tells the node where its bootstrap nodes are now.
    pub(super) async fn handle_moved(&mut self, Moved { of, endpoints }: Moved) {
        let Some((instance, _)) = self.overlays.iter().find(|(_, kind)| *kind == of) else {
            return;
        };
        match bootstrap::others(endpoints, self.listen, &self.excluded).await {
            Ok(endpoints) => {
                tracing::info!(overlay = of.name(), ?endpoints, "bootstrap nodes are now at");
                self.node.handle_bootstrap(instance, endpoints, self.clock.now());
            }
            Err(error) => tracing::warn!(%error, "cannot read the host's addresses"),
        }
    }

    /// Tells the node the host's addresses as they are now.
    pub(super) async fn offer_endpoints(&mut self) {
        match endpoints::local(self.listen, &self.excluded).await {
            Ok(local) => self.node.handle_endpoints(local, self.clock.now()),
            Err(error) => tracing::warn!(%error, "cannot read the host's addresses"),
        }
    }
}

impl Trouble {
    /// Whether the peer at an endpoint is the cause.
    fn is_with(&self, endpoint: SocketAddr) -> bool {
        match self {
            Self::NoAnswer(silent) => *silent == endpoint,
            Self::Refused { path, .. } => *path == Path::Direct(endpoint),
            Self::OwnCertificate(_) | Self::Fork | Self::Addresses => false,
        }
    }
}
