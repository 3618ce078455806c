//! The JSON API for people's programs and for browsers: `/api/v1`.
//!
//! How it works: a handler reads what was asked, calls the service, and writes its view. The
//! document that describes all of it is made from the same types ([`openapi`]), and a test holds the
//! table of routes against it.
//!
//! What must hold: handlers decide nothing. Who may do what is said by the table (who is it at all)
//! and by the model (who is it in that group).
//!
//! | file | question |
//! |---|---|
//! | `account` | who am I, and who is there |
//! | `group` | which groups are there |
//! | `joining` | who belongs to one |
//! | `token` | which blobs were handed out |
//! | `node` | which nodes are there |
//! | `revocation` | who is out, and who knows it |
//! | `audit` | what has happened |
//! | `device` | which device wants in |
//! | `openapi` | how is all that described |

mod account;
mod audit;
mod device;
mod group;
mod joining;
mod node;
mod openapi;
mod revocation;
mod token;

use pki::UnixTime;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Access, Ask, Problem, Route, Routes, Site};
use crate::model::{Refusal, UserId};

pub use openapi::document;

/// A piece of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Piece<T> {
    /// The rows.
    items: Vec<T>,
    /// What to give as `after` for the next piece; none at the end.
    next: Option<String>,
}

impl<T> From<crate::store::Paged<T>> for Piece<T> {
    fn from(page: crate::store::Paged<T>) -> Self {
        Self { items: page.items, next: page.next.map(|cursor| cursor.0) }
    }
}

/// The end points of the API.
pub fn routes() -> Routes {
    let faces = [
        account::routes(),
        group::routes(),
        joining::routes(),
        token::routes(),
        node::routes(),
        revocation::routes(),
        audit::routes(),
        device::routes(),
        vec![Route::get("/api/v1/openapi.json", Access::Anyone, openapi::show)],
    ];
    Routes::new(faces.into_iter().flatten().collect(), |_, _, problem| problem.to_json())
}

/// The user whom a path names.
async fn user_at(site: &Site, ask: &Ask) -> Result<UserId, Problem> {
    let name = ask.text_at("user")?;
    let user = site.service.user_named(name).await?;
    Ok(user.ok_or(Refusal::NotFound("user"))?.id)
}

/// A life that ends at a time.
fn life_until(expires: UnixTime, now: UnixTime) -> std::time::Duration {
    std::time::Duration::from_secs(expires.0.saturating_sub(now.0))
}
