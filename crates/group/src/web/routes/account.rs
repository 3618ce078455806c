//! The visitor's own account.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{done, frame, is_about_input, page, page_with, sentence};
use crate::http::{Answer, Ask, Problem, Site, now, set_cookie};
use crate::store::session::ApiTokenView;
use crate::web::page::Said;
use crate::web::pages::account as pages;

const DAY: u64 = 86_400;

pub async fn account(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let user = &ask.person()?.user;
    let tokens = site.sessions.api_tokens(user.id).await?;
    Ok(page(&ask, pages::account(&frame(&ask), user, &tokens, None)))
}

#[derive(Deserialize)]
struct ChangePassword {
    old: Zeroizing<String>,
    new: Zeroizing<String>,
}

pub async fn change_password(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let ChangePassword { old, new } = ask.form()?;
    match site.change_password(&ask, old, new).await {
        Ok(key) => {
            let mut response = done("/account", Said::PasswordChanged);
            set_cookie(&mut response, &key);
            Ok(response)
        }
        Err(problem) if is_about_input(&problem) => {
            let user = &ask.person()?.user;
            let tokens = site.sessions.api_tokens(user.id).await?;
            let why = match problem.code {
                "login_wrong" => "The present password is wrong.".to_owned(),
                _ => sentence(&problem.message),
            };
            let shown = pages::account(&frame(&ask), user, &tokens, Some(&why));
            Ok(page_with(&ask, problem.status, shown))
        }
        Err(problem) => Err(problem),
    }
}

#[derive(Deserialize)]
struct MakeToken {
    label: String,
    days: u64,
}

/// Makes an API token; the page shows its text this once.
pub async fn make_token(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let MakeToken { label, days } = ask.form()?;
    let (label, life) = (label.trim(), Duration::from_secs(days.saturating_mul(DAY)));
    let user = ask.person()?.user.id;
    let (_, token) = site.sessions.add_api_token(user, label, life, now()).await?;
    Ok(page(&ask, pages::made(&frame(&ask), label, &token)))
}

pub async fn end_token_page(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let token = own_token(&site, &ask).await?;
    Ok(page(&ask, pages::end_token(&frame(&ask), &token)))
}

pub async fn end_token(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let token = own_token(&site, &ask).await?;
    site.sessions.end_api_token(ask.person()?.user.id, token.id).await?;
    Ok(done("/account", Said::ApiTokenEnded))
}

async fn own_token(site: &Site, ask: &Ask) -> Result<ApiTokenView, Problem> {
    let number: i64 = ask.at("number")?;
    let tokens = site.sessions.api_tokens(ask.person()?.user.id).await?;
    tokens.into_iter().find(|token| token.id == number).ok_or_else(Problem::not_found)
}
