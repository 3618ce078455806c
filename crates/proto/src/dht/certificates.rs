//! The certificates of owners, each fetched once and kept by ID.
//!
//! A certificate comes from anywhere and proves nothing by itself: a record is valid if the [`Verifier`]
//! accepts certificate, owner and signature together. So only a certificate that proves a record is kept, and
//! only one that proves a record takes its place: neither a false certificate nor a false record does harm.

use super::Context;
use crate::NodeId;
use crate::bounds::Fill;
use crate::wire::record::{Kind, Record};
use std::collections::BTreeMap;

/// Most certificates kept: at about 600 bytes each some 600 KB.
const CERTIFICATES_MAX: usize = 1_024;

/// What the signature of a record is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Valid,
    Forged,
    /// The owner's certificate is not here.
    Unknown,
}

/// Bounded cache; the certificate that was not used for longest makes room.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    by_owner: BTreeMap<NodeId, Cached>,
    uses: u64,
}

#[derive(Debug)]
struct Cached {
    certificate: Vec<u8>,
    last_use: u64,
}

impl Certificates {
    pub(super) fn get(&self, owner: NodeId) -> Option<&[u8]> {
        self.by_owner.get(&owner).map(|c| c.certificate.as_slice())
    }

    pub(super) fn fill(&self) -> Fill {
        Fill::new("certificates of owners", self.by_owner.len(), CERTIFICATES_MAX)
    }

    fn insert(&mut self, owner: NodeId, certificate: Vec<u8>) {
        if self.by_owner.len() >= CERTIFICATES_MAX && !self.by_owner.contains_key(&owner) {
            let oldest = self.by_owner.iter().min_by_key(|(_, c)| c.last_use).map(|(&id, _)| id);
            oldest.map(|id| self.by_owner.remove(&id));
        }
        self.uses += 1;
        self.by_owner.insert(owner, Cached { certificate, last_use: self.uses });
    }

    pub(super) fn check(&mut self, record: &Record, cx: &Context<'_>) -> Verdict {
        let Some(cached) = self.by_owner.get_mut(&record.owner) else { return Verdict::Unknown };
        self.uses += 1;
        cached.last_use = self.uses;
        match proves(&cached.certificate, record, cx) {
            true => Verdict::Valid,
            false => Verdict::Forged,
        }
    }

    /// Keeps a certificate if it proves the record; what was cached for the owner stays otherwise.
    pub(super) fn offer(&mut self, certificate: &[u8], record: &Record, cx: &Context<'_>) -> bool {
        let is_good = proves(certificate, record, cx);
        if is_good {
            self.insert(record.owner, certificate.to_vec());
        }
        is_good
    }
}

/// Whether the owner signed the record, and may have written it where it is to stand.
pub(super) fn proves(certificate: &[u8], record: &Record, cx: &Context<'_>) -> bool {
    let (key, payload) = (record.key, record.payload.as_slice());
    if key.kind() == Kind::Revocation && !cx.verifier.is_revocation(key, payload) {
        return false;
    }
    let (bytes, now) = (record.signed_bytes(), cx.now.unix);
    cx.verifier.verify(certificate, record.owner, &bytes, &record.signature, now)
}
