//! What has happened: the audit logs, also as files.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserialize;
use utoipa::ToSchema;
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::Piece;
use crate::http::{Access, Answer, Ask, ErrorBody, Route, Site, json, text};
use crate::store::Paged;
use crate::view::AuditView;

/// The header that names the next piece where the body has no room for it.
const NEXT: &str = "x-next";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/groups/{group}/audit", Access::Person, of_group),
        Route::get("/api/v1/audit", Access::Person, of_site),
    ]
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// A list with where the next piece begins.
    #[default]
    Json,
    /// One JSON object a line; the header `x-next` names the next piece.
    Lines,
    /// Comma-separated values with a line of names; likewise.
    Csv,
}

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    format: Format,
    event: Option<String>,
}

/// Shows the log of a group, the newest first, for its administrators; of one kind of `event`, or all.
#[utoipa::path(get, path = "/api/v1/groups/{group}/audit", tag = "audit",
    params(("group" = String, Path), ("format" = Option<Format>, Query), ("event" = Option<String>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, content(
            (Piece<AuditView> = "application/json"), (String = "application/jsonl"),
            (String = "text/csv"))),
        (status = "4XX", body = ErrorBody)))]
async fn of_group(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Query { format, event } = ask.query()?;
    let (caller, group) = (ask.caller(), ask.text_at("group")?);
    let entries = site.service.audit(&caller, group, event.as_deref(), &ask.page()?).await?;
    Ok(write(format, entries))
}

/// Shows the log of the site: accounts and log-ins, for administrators of the site.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit",
    params(("format" = Option<Format>, Query), ("event" = Option<String>, Query),
        ("after" = Option<String>, Query), ("limit" = Option<u32>, Query, minimum = 1, maximum = 500)),
    responses((status = 200, content(
            (Piece<AuditView> = "application/json"), (String = "application/jsonl"),
            (String = "text/csv"))),
        (status = "4XX", body = ErrorBody)))]
async fn of_site(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Query { format, event } = ask.query()?;
    let entries = site.service.site_audit(&ask.caller(), event.as_deref(), &ask.page()?).await?;
    Ok(write(format, entries))
}

fn write(format: Format, entries: Paged<AuditView>) -> Response {
    let next = entries.next.as_ref().and_then(|next| HeaderValue::from_str(&next.0).ok());
    let mut response = match format {
        Format::Json => return json(StatusCode::OK, &Piece::from(entries)),
        Format::Lines => text("application/jsonl", lines(&entries.items)),
        Format::Csv => text("text/csv; charset=utf-8", csv(&entries.items)),
    };
    if let Some(next) = next {
        response.headers_mut().insert(NEXT, next);
    }
    response
}

fn lines(entries: &[AuditView]) -> String {
    let written = entries.iter().filter_map(|entry| serde_json::to_string(entry).ok());
    written.map(|line| line + "\n").collect()
}

/// RFC 4180, and no cell begins with what a spreadsheet takes for a formula.
fn csv(entries: &[AuditView]) -> String {
    let mut all = String::from("number,at,actor,source,event,details\r\n");
    for entry in entries {
        let cells = [&entry.actor, &entry.source, &entry.event, &entry.details.to_string()];
        let _ = write!(all, "{},{}", entry.number, entry.at.0);
        for text in cells {
            let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
            let _ = write!(all, ",\"{guard}{}\"", text.replace('"', "\"\""));
        }
        all.push_str("\r\n");
    }
    all
}

#[cfg(test)]
mod tests {
    use pki::UnixTime;

    use super::*;

    fn entry(actor: &str) -> AuditView {
        AuditView {
            number: 7,
            at: UnixTime(1_800_000_000),
            actor: actor.to_owned(),
            source: "192.0.2.0/24".to_owned(),
            event: "asked".to_owned(),
            details: serde_json::json!({ "reason": "because, \"so\"" }),
        }
    }

    #[test]
    fn no_cell_breaks_out_or_is_run_by_a_spreadsheet() {
        let text = csv(&[entry("=1+1")]);
        let line = text.lines().nth(1).expect("has a line");
        assert!(line.starts_with("7,1800000000,\"'=1+1\",\"192.0.2.0/24\""), "{line}");
        assert!(line.ends_with(r#""{""reason"":""because, \""so\""""}""#), "{line}");
    }

    #[test]
    fn each_entry_is_a_line_of_json() {
        let text = lines(&[entry("ana"), entry("bo")]);
        let read: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1]["actor"], "bo");
    }
}
