//! A machine that waits for a yes (`warren join`).

use std::sync::Arc;

use serde::Deserialize;
use warp::http::StatusCode;

use super::{done, frame, is_about_input, page, page_with, sentence};
use crate::http::{Answer, Ask, Site, see_other};
use crate::view::StandingView;
use crate::web::page::Said;
use crate::web::pages::device::{Waiting, confirm as confirm_page, enter as enter_page};
use crate::web::pages::encoded;

#[derive(Deserialize)]
struct Typed {
    code: Option<String>,
}

/// Asks for the code; with one, leads to the machine that shows it.
pub async fn enter(_: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Typed { code } = ask.query()?;
    match code.as_deref().map(str::trim).filter(|code| !code.is_empty()) {
        Some(code) => Ok(see_other(&format!("/device/{}", encoded(&code.to_ascii_uppercase())))),
        None => Ok(page(&ask, enter_page(&frame(&ask), "", None))),
    }
}

/// Shows which machine it is, before anybody says yes.
pub async fn show(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let code = ask.text_at("code")?;
    let device = match site.device(&ask, code).await {
        Ok(device) => device,
        Err(problem) if problem.status == StatusCode::NOT_FOUND || is_about_input(&problem) => {
            let why = sentence(&problem.message);
            let shown = enter_page(&frame(&ask), code, Some(&why));
            return Ok(page_with(&ask, problem.status, shown));
        }
        Err(problem) => return Err(problem),
    };
    let summary = site.service.group_summary(&ask.caller(), &device.group).await?;
    let asks = matches!(summary.standing, StandingView::Outside | StandingView::Denied);
    let shown_code = device.user_code.to_string();
    let machine = Waiting {
        code: &shown_code,
        group: &device.group,
        host: device.host.as_deref(),
        asks_to_join: asks,
    };
    Ok(page(&ask, confirm_page(&frame(&ask), &machine)))
}

#[derive(Deserialize)]
struct Consent {
    #[serde(default)]
    reason: String,
}

pub async fn confirm(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Consent { reason } = ask.form()?;
    let device = site.confirm_device(&ask, ask.text_at("code")?, &reason).await?;
    Ok(done(&format!("/groups/{}", device.group), Said::DeviceConfirmed))
}

pub async fn deny(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.deny_device(&ask, ask.text_at("code")?).await?;
    Ok(done("/", Said::DeviceDenied))
}
