//! How the X.509 list is kept from costing a signature each: anybody may ask for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pki::UnixTime;

use crate::error::Result;
use crate::service::Service;

/// How long a list is shown again, in seconds: a revocation is in it that much later.
pub const KEPT_SECONDS: u64 = 10;
/// Most lists that are kept. Full ones have some 400 KiB.
const LISTS_MAX: usize = 64;

/// Lists that were written lately.
#[derive(Default)]
pub struct Lists {
    kept: Mutex<HashMap<String, Kept>>,
    /// Held by who writes a list: many may ask at the moment when one is over.
    writing: tokio::sync::Mutex<()>,
}

struct Kept {
    der: Arc<[u8]>,
    until: UnixTime,
}

impl Lists {
    /// Returns the list of an authority.
    pub async fn get(&self, service: &Service, issuer: &str, now: UnixTime) -> Result<Arc<[u8]>> {
        if let Some(der) = self.kept(issuer, now) {
            return Ok(der);
        }
        let _writing = self.writing.lock().await;
        if let Some(der) = self.kept(issuer, now) {
            return Ok(der);
        }
        let der: Arc<[u8]> = service.crl(issuer, now).await?.into();
        let until = now + Duration::from_secs(KEPT_SECONDS);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, list| now < list.until);
        if kept.len() < LISTS_MAX {
            kept.insert(issuer.to_owned(), Kept { der: Arc::clone(&der), until });
        }
        Ok(der)
    }

    fn kept(&self, issuer: &str, now: UnixTime) -> Option<Arc<[u8]>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(issuer).filter(|list| now < list.until).map(|list| Arc::clone(&list.der))
    }
}
