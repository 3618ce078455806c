//! Which accounts and groups are there: a table for people, or a JSON object a line for programs.

use std::io::Write;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::model::Caller;
use crate::service::Service;
use crate::store::{PAGE_MAX, Page, Paged};
use crate::view::{GroupRow, UserView};

/// Lists the accounts by name.
pub async fn users(service: &Service, json: bool, out: impl Write) -> Result<()> {
    let caller = Caller::operator();
    let all = all(async |page| Ok(service.users(&caller, &page).await?)).await?;
    if json {
        return lines(&all, out);
    }
    let row = |user: &UserView| {
        let admin = if user.site_admin { "site administrator" } else { "" };
        let state = if user.enabled { "active" } else { "disabled" };
        let login = if user.has_password { "password" } else { "OpenID" };
        let email = user.email.clone().unwrap_or_default();
        [
            user.name.clone(),
            state.into(),
            login.into(),
            admin.into(),
            user.created.to_string(),
            email,
        ]
    };
    let none = "no accounts; `admin create-user NAME` makes one";
    table(["USER", "STATE", "LOG-IN", "ROLE", "SINCE", "E-MAIL"], all.iter().map(row), none, out)
}

/// Lists the groups by name.
pub async fn groups(service: &Service, json: bool, out: impl Write) -> Result<()> {
    let caller = Caller::operator();
    let all = all(async |page| Ok(service.all_groups(&caller, &page).await?)).await?;
    if json {
        return lines(&all, out);
    }
    let row = |group: &GroupRow| {
        let count = |number: u32| number.to_string();
        [
            group.name.clone(),
            group.subnet.to_string(),
            count(group.members),
            count(group.administrators),
            count(group.nodes),
            count(group.pending),
            group.created.to_string(),
        ]
    };
    let none = format!("no groups; people make them at {}", service.config().url);
    let columns = ["GROUP", "NETWORK", "MEMBERS", "ADMINS", "NODES", "REQUESTS", "SINCE"];
    table(columns, all.iter().map(row), &none, out)
}

/// Reads a list to its end.
async fn all<T>(read: impl AsyncFn(Page) -> Result<Paged<T>>) -> Result<Vec<T>> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let piece = read(Page::new(after, PAGE_MAX)).await?;
        all.extend(piece.items);
        match piece.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

fn lines(all: &[impl Serialize], mut out: impl Write) -> Result<()> {
    for item in all {
        let line = serde_json::to_string(item).context("cannot write an entry")?;
        writeln!(out, "{line}").context("cannot write")?;
    }
    Ok(())
}

/// Writes columns as wide as what is in them; without rows, one line that says what to do.
fn table<const N: usize>(
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    none: &str,
    mut out: impl Write,
) -> Result<()> {
    let mut all = vec![head.map(str::to_owned)];
    all.extend(rows);
    if all.len() == 1 {
        return writeln!(out, "{none}").context("cannot write");
    }
    let widths: [usize; N] =
        std::array::from_fn(|at| all.iter().map(|row| row[at].chars().count()).max().unwrap_or(0));
    for row in &all {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", line.trim_end()).context("cannot write")?;
    }
    Ok(())
}
