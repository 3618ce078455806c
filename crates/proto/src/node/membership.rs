//! What changes about this node's membership while it runs: certificate, group secrets, revocations.

use super::Node;
use crate::overlay::Instance;
use crate::session::gate::Gate;
use crate::time::Now;
use pki::{Keyring, LineError, Refusal, SecretError, SignedSecret, Trust};

impl Node {
    /// The overlay that only members are in.
    fn members(&self) -> Option<Instance> {
        self.instances().find(|&instance| self.links.suite(instance).trust().is_some())
    }

    /// The authorities and revocations of the group; none without certificates.
    pub fn trust(&self) -> Option<&Trust> {
        self.links.suite(self.members()?).trust()
    }

    /// The generations of the group secret that are taken.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Shows a renewed certificate of the same key and node from now on. Sessions stay: each gets the new one
    /// with its next keys, within an hour or so.
    pub fn renew(&mut self, certificate: &[u8], now: Now) -> Result<(), Refusal> {
        let members = self.members().ok_or(Refusal::NoCertificate)?;
        self.links.suite_mut(members).renew(certificate, now.unix)
    }

    /// Takes generations of the group secret: the newest is used from now on, all are accepted. Returns how
    /// many were news; an overlay without certificates takes none. Stops at the first that is not good.
    pub fn take_secrets(
        &mut self,
        secrets: impl IntoIterator<Item = SignedSecret>,
        now: Now,
    ) -> Result<usize, SecretError> {
        let Some(members) = self.members() else { return Ok(0) };
        let Some(trust) = self.links.suite(members).trust() else { return Ok(0) };
        let mut news = 0;
        let mut taken = Ok(());
        for secret in secrets {
            match self.keyring.take(secret, trust) {
                Ok(is_news) => news += usize::from(is_news),
                Err(error) => {
                    taken = Err(error);
                    break;
                }
            }
        }
        if news > 0 {
            self.keyring.prune(now.unix);
            let gates = self.keyring.secrets().map(Gate::group).collect();
            self.links.set_gates(members, gates);
        }
        taken.map(|()| news)
    }

    /// Takes revocation notices in text form, one a line, and ends the sessions that they concern. Returns
    /// how many were news; an overlay without certificates takes none.
    pub fn take_notices(&mut self, text: &str, now: Now) -> Result<usize, LineError> {
        let Some(members) = self.members() else { return Ok(0) };
        let Some(trust) = self.links.suite_mut(members).trust_mut() else { return Ok(0) };
        let news = trust.ledger_mut().take_text(text);
        self.with_links(now, |links, cx| links.rejudge(cx));
        self.settle(now);
        news
    }
}
