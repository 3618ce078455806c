//! What the node says that happened, and what the host or its user says: logged, remembered, passed on.

use proto::node::api::Event;
use proto::path::Path;
use proto::vpn;

use super::{Driver, GROUP};
use crate::endpoints;
use crate::failure::Failure;
use crate::identity;
use crate::state::Lease;

impl Driver {
    /// Notes what happened in the node.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Joined { after, .. } => tracing::info!(?after, "joined"),
            Event::LinkUp { peer, member, path, .. } => {
                let user = member.map(|(user, _)| user);
                tracing::info!(%peer, user, ?path, "link up");
                if let Path::Direct(endpoint) = path {
                    self.known.linked(peer, endpoint);
                }
            }
            Event::LinkDown { peer, reason, .. } => tracing::info!(%peer, reason, "link down"),
            Event::Refused { path, why, by_us: true, .. } => {
                tracing::warn!(?path, "peer refused: {why}");
            }
            Event::Refused { path, why, by_us: false, .. } => {
                tracing::warn!(?path, "refused by the peer: {why}");
            }
            Event::NoAnswer { endpoint } => tracing::warn!(%endpoint, "no answer; is it running?"),
            Event::Vpn(event) => self.note_vpn(event),
            Event::IdInUse { .. } => {
                self.work.stop = Some(Failure::identity(
                    "another running node has this node's key: give each node a state directory \
                     and a certificate of its own",
                ));
            }
        }
    }

    fn note_vpn(&self, event: vpn::Event) {
        match event {
            vpn::Event::Leased(ipv4) => {
                tracing::info!(%ipv4, "{event}");
                let node = self.node.id();
                if let Err(error) = self.state.set_lease(Lease { node, ipv4 }) {
                    tracing::warn!(%error, "lease not saved");
                }
            }
            _ => tracing::warn!("{event}"),
        }
    }

    /// Reads the notices file again; sessions that a notice concerns end.
    pub(super) fn reload(&mut self) {
        let Some(path) = &self.config.notices else {
            return tracing::info!("nothing to read again: no notices file is configured");
        };
        let news = match identity::read_notices(&mut self.identity.trust, path) {
            Ok(news) => news,
            Err(failure) => return tracing::warn!("{failure}"),
        };
        let now = self.clock.now();
        let text = self.identity.trust.ledger().to_text();
        if let Err(error) = self.node.take_notices(GROUP, &text, now) {
            tracing::warn!(%error, "notices not taken");
        }
        if let Err(error) = self.state.set_notices(&text) {
            tracing::warn!(%error, "notices not saved");
        }
        tracing::info!(news, number = self.identity.trust.ledger().number(), "notices read");
        if let Err(refusal) = self.identity.trust.rejudge(&self.identity.member, now.unix) {
            self.work.stop = Some(Failure::identity(format!("own certificate: {refusal}")));
        }
    }

    /// Tells the node the host's addresses as they are now.
    pub(super) fn offer_endpoints(&mut self) {
        match endpoints::local(self.listen, &self.excluded) {
            Ok(local) => self.node.handle_endpoints(local, self.clock.now()),
            Err(error) => tracing::warn!(%error, "cannot read the host's addresses"),
        }
    }
}
