//! What changes about the node's membership while it runs: given to the node, kept in the state directory.
//!
//! SIGHUP reads the files again that the user named. What is not good is logged and changes nothing; the rest
//! counts.

use std::path::Path;
use std::sync::Arc;

use pki::enrolment::Grant;
use pki::{Certificate, Handed, HostPort, LineError, Refusal, SignedSecret, StalePolicy, Trust};
use proto::{Node, news};

use super::{Driver, SAVE_INTERVAL, events};
use crate::advice;
use crate::api;
use crate::bootstrap;
use crate::ca::read_certificate;
use crate::config::read_text;
use crate::enrol::keeper::Update;
use crate::enrol::trouble::Trouble;
use crate::failure::Failure;
use crate::identity::bad_notices;
use crate::state::StateDir;

impl Driver {
    /// Reads certificate, blob and notices again.
    pub(super) fn reload(&mut self) {
        let files = [&self.config.blob_file, &self.config.notices, &self.certificate_file];
        if self.config.psk_file.is_some() {
            tracing::warn!(
                "the file of pre-shared keys is read at the start: restart for new keys"
            );
        } else if files.into_iter().all(Option::is_none) {
            tracing::warn!(
                "nothing to read again: the start command names no --blob, --notices or \
                 --certificate file"
            );
        }
        for done in [self.reload_blob(), self.reload_notices(), self.reload_certificate()] {
            if let Err(failure) = done {
                tracing::warn!("{failure}");
            }
        }
    }

    /// Takes what came from the group service.
    pub(super) fn handle_update(&mut self, update: Update) {
        let now = self.clock.now().unix;
        if let Some(keeper) = &mut self.keeper {
            keeper.note(&update, now);
        }
        let done = match update {
            Update::Renewed(grant) => self.take_grant(*grant),
            Update::Notices(text) => self.take_notices(&text).map_err(Failure::identity),
            Update::Bootstrap(nodes) => self.take_bootstrap(nodes),
            Update::Trouble(Trouble::Forked { number, .. }) => {
                self.note_fork(number);
                Ok(())
            }
            Update::RenewalDue(_) | Update::Contact | Update::Trouble(_) => Ok(()),
        };
        if let Err(failure) = done {
            tracing::warn!("from the group service: {failure}");
        }
    }

    /// Takes a renewed certificate and what belongs to it: other authorities first, for they sign the rest. What is
    /// not good keeps nothing else out. Another network is for the next start.
    fn take_grant(&mut self, grant: Grant) -> Result<(), Failure> {
        match self.node.take_authorities(&grant.ca) {
            Ok(true) => {
                tracing::info!(authorities = grant.ca.len(), "authorities of the group taken")
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "other authorities count from the next start on"),
        }
        let taken = [
            self.take_notices(&grant.notices).map_err(Failure::identity),
            self.take_secrets(grant.secrets),
            self.take_bootstrap(grant.bootstrap),
            self.renew(&grant.certificate),
        ];
        taken.into_iter().collect()
    }

    /// Joins by the nodes that the group names now, if they are others, and keeps them for the next start.
    fn take_bootstrap(&mut self, nodes: Vec<HostPort>) -> Result<(), Failure> {
        let Some(blob) = self.config.blob.as_mut().filter(|blob| blob.bootstrap != nodes) else {
            return Ok(());
        };
        let listed: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        tracing::info!(nodes = listed.join(" "), "the group names other nodes to join by");
        blob.bootstrap.clone_from(&nodes);
        // What was wrong with the former ones says nothing about these.
        self.work.trouble = None;
        self.names.send_replace(bootstrap::of_group(&self.config));
        // Without a grant the node was signed elsewhere: its file names its nodes, and the service is asked anew.
        match self.state.grant()? {
            Some(grant) => self.state.set_grant(&Grant { bootstrap: nodes, ..grant }),
            None => Ok(()),
        }
    }

    /// Whether the time is over until which the list of revocations was said to be complete.
    pub(super) fn is_list_stale(&self) -> bool {
        let due = self.node.trust().and_then(|trust| trust.ledger().fresh_until());
        due.is_some_and(|due| due + pki::CLOCK_TOLERANCE < self.clock.now().unix)
    }

    /// Says once that the list has become stale, and once that it is fresh again.
    pub(super) fn note_staleness(&mut self) {
        let is_stale = self.is_list_stale();
        if std::mem::replace(&mut self.work.was_stale, is_stale) == is_stale {
            return;
        }
        let policy = self.config.stale_policy.unwrap_or_default();
        match (is_stale, policy) {
            (true, StalePolicy::Strict) => {
                tracing::warn!(
                    "the list of revocations is out of date: no new links until it is not"
                );
            }
            (true, StalePolicy::Lenient) => {
                tracing::warn!(
                    "the list of revocations is out of date: who was put out may get in"
                );
            }
            (false, _) => tracing::info!("the list of revocations is up to date again"),
        }
    }

    /// Shows a renewed certificate of the same key and node from now on; sessions stay.
    pub(super) fn renew(&mut self, certificate: &Certificate) -> Result<(), Failure> {
        let now = self.clock.now().unix;
        let refused = |refusal| Failure::identity(advice::on_own(refusal, now));
        let member = certificate.unverified().map_err(refused)?;
        self.node.renew(certificate.der(), self.clock.now()).map_err(refused)?;
        tracing::info!(until = %member.not_after, serial = %member.serial, "certificate renewed");
        if let Some(identity) = &mut self.identity {
            identity.member = member;
        }
        self.state.set_certificate(certificate)
    }

    /// Takes generations of the group secret; peers are told.
    pub(super) fn take_secrets(&mut self, secrets: Vec<SignedSecret>) -> Result<(), Failure> {
        let taken = self.node.take_secrets(secrets, self.clock.now());
        taken.map(|_| ()).map_err(Failure::identity)
    }

    /// Takes notices in text form; sessions that a notice concerns end, peers are told.
    pub(super) fn take_notices(&mut self, text: &str) -> Result<(), LineError> {
        self.node.take_notices(text, self.clock.now()).map(|_| ())
    }

    /// Keeps what the node learned of its authority, by whatever way; stops if it means this node.
    pub(super) fn note_news(&mut self, event: news::Event) {
        match event {
            news::Event::Notices { number } => {
                tracing::info!(number, "notices taken");
                self.work.notices.mark();
                self.stop_if_revoked();
            }
            news::Event::Secret { generation } => {
                tracing::info!(generation, "group secret taken");
                self.work.secrets.mark();
            }
            news::Event::Fork { number } => self.note_fork(number),
        }
    }

    /// Notes that the authority signed two histories. Neither way leads back to one.
    fn note_fork(&mut self, number: u64) {
        self.work.fork.get_or_insert(number);
    }

    /// Says so at once, and as often as of other troubles for as long as the daemon runs.
    pub(super) fn tell_fork(&mut self) {
        let Some(number) = self.work.fork else { return };
        if self.is_news(events::Trouble::Fork).is_some() {
            tracing::error!(number, "{}", api::FORK_ADVICE);
        }
    }

    fn stop_if_revoked(&mut self) {
        let Some(identity) = &self.identity else { return };
        let Some(ledger) = self.node.trust().map(Trust::ledger) else { return };
        if let Some(notice) = ledger.is_revoked(&identity.member) {
            let now = self.clock.now().unix;
            let advice = advice::on_own(pki::Refusal::Revoked { notice }, now);
            self.work.stop = Some(Failure::identity(advice));
        }
    }

    /// Begins to write what was learned of the authority, if the last write is long enough ago.
    pub(super) fn save_news_soon(&mut self) {
        let Self { node, state, work, .. } = self;
        work.notices.begin(SAVE_INTERVAL, || write_notices(node, state));
        work.secrets.begin(SAVE_INTERVAL, || write_secrets(node, state));
    }

    /// Writes what was learned of the authority now.
    pub(super) async fn save_news_now(&mut self) {
        let Self { node, state, work, .. } = self;
        work.notices.finish(|| write_notices(node, state)).await;
        work.secrets.finish(|| write_secrets(node, state)).await;
    }

    fn reload_blob(&mut self) -> Result<(), Failure> {
        let Some(path) = self.config.blob_file.clone() else { return Ok(()) };
        let place = path.display().to_string();
        let bad = |error: String| Failure::identity(format!("{place}: {error}"));
        let handed = Handed::parse(&read_text(&path)?).map_err(|error| bad(error.to_string()))?;
        // What an invitation leaves out comes from the service.
        let Handed::Blob(blob) = handed else { return Ok(()) };
        let Some(identity) = &self.identity else { return Ok(()) };
        if blob.network.group != identity.member.group {
            return Err(bad("it is of another group: start the daemon anew for that".into()));
        }
        self.take_notices(&blob.notices.join("\n")).map_err(|error| bad(error.to_string()))?;
        self.take_secrets(blob.group_secrets)?;
        tracing::info!(file = place, "blob read again");
        blob.certificate.map_or(Ok(()), |certificate| self.renew_if_longer(&certificate, &path))
    }

    fn reload_notices(&mut self) -> Result<(), Failure> {
        let Some(path) = self.config.notices.clone() else { return Ok(()) };
        let text = read_text(&path)?;
        self.take_notices(&text).map_err(|error| bad_notices(&path, &error))?;
        tracing::info!(file = %path.display(), "notices read again");
        Ok(())
    }

    fn reload_certificate(&mut self) -> Result<(), Failure> {
        let Some(path) = self.certificate_file.clone() else { return Ok(()) };
        let certificate = read_certificate(&path)?;
        self.renew_if_longer(&certificate, &path)
    }

    /// Of the certificates that lie about, only one that lasts longer than the present one is a renewal.
    fn renew_if_longer(&mut self, certificate: &Certificate, file: &Path) -> Result<(), Failure> {
        let (file, now) = (file.display(), self.clock.now().unix);
        let refused =
            |refusal| Failure::identity(format!("{file}: {}", advice::on_own(refusal, now)));
        let member = certificate.unverified().map_err(refused)?;
        let Some(identity) = &self.identity else { return Ok(()) };
        let present = &identity.member;
        // Whose it is comes before how long it lasts.
        if member.spki != present.spki {
            return Err(refused(Refusal::WrongNode));
        }
        if member.not_after <= present.not_after {
            tracing::info!(%file, until = %present.not_after, "not longer than the present one: kept");
            return Ok(());
        }
        self.renew(certificate)
    }
}

fn write_notices(
    node: &Node,
    state: &Arc<StateDir>,
) -> impl FnOnce() -> Result<(), Failure> + Send + use<> {
    let text = node.trust().map(|trust| trust.ledger().to_text());
    let state = Arc::clone(state);
    move || text.map_or(Ok(()), |text| state.set_notices(&text))
}

fn write_secrets(
    node: &Node,
    state: &Arc<StateDir>,
) -> impl FnOnce() -> Result<(), Failure> + Send + use<> {
    let (state, secrets) = (Arc::clone(state), node.keyring().all().to_vec());
    move || state.set_secrets(&secrets)
}
