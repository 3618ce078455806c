//! Is what the store holds consistent: what operators ask after a restore, and tests after a crash.

use super::Service;
use crate::error::Result;
use crate::store;

impl Service {
    /// Looks for what must never be; returns a sentence for each finding. It stops writers while it
    /// looks.
    pub async fn check(&self) -> Result<Vec<String>> {
        let mut tx = self.0.store.begin().await?;
        let mut findings = store::check::tables(&mut tx, self.0.store.kind()).await?;
        for group in store::check::groups(&mut tx).await? {
            let mut found = |what: &str| findings.push(format!("group {}: {what}", group.name));
            let authority = match self.take_up(&mut tx, group.id, &group.name).await {
                Ok(authority) => authority,
                Err(error) => {
                    found(&format!("its authority: {error}"));
                    continue;
                }
            };
            let ledger = authority.ledger();
            if ledger.missing().is_some() || ledger.head().is_none() {
                found("the chain of notices has a gap, or no head");
            }
            let secrets = store::chain::secrets(&mut tx, group.id).await?;
            if secrets.first().map(|secret| secret.generation) != Some(ledger.generation()) {
                found("the newest group secret is not the one that the newest notice has started");
            }
        }
        Ok(findings)
    }
}
