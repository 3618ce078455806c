//! The audit log as lines of JSON.

use std::io::Write;

use anyhow::{Context, Result};

use crate::model::Caller;
use crate::service::Service;
use crate::store::Page;

/// Entries that are read at a time.
const CHUNK: u32 = 500;

/// Writes the log of a group, or of the site, the newest entry first.
pub async fn write(service: &Service, group: Option<&str>, mut out: impl Write) -> Result<()> {
    let caller = Caller::operator();
    let mut after = None;
    loop {
        let page = Page::new(after, CHUNK);
        let paged = match group {
            Some(group) => service.audit(&caller, group, None, &page).await?,
            None => service.site_audit(&caller, None, &page).await?,
        };
        for entry in &paged.items {
            let line = serde_json::to_string(entry).context("cannot write an entry")?;
            writeln!(out, "{line}").context("cannot write")?;
        }
        match paged.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}
