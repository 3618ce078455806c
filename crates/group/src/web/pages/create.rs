//! A new group.

use maud::{Markup, html};

use super::settings::policies;
use crate::model::Policies;
use crate::web::form::{Field, post};
use crate::web::page::{Frame, title};
use crate::web::parts::{Tone, notice};

/// What was entered.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Name of the group.
    pub name: String,
    /// Its addresses.
    pub subnet: String,
    /// Its policies.
    pub policies: Policies,
}

/// The page; `refused` says why the last try failed.
pub fn create(frame: &Frame, plan: &Plan, refused: Option<&str>) -> Markup {
    let form = html! {
        (Field {
            name: "name",
            label: "Name",
            value: &plan.name,
            hint: Some("Stands in certificates and cannot be changed: a-z, 0-9 and '-'."),
            max: Some(63),
            ..Field::default()
        })
        (Field {
            name: "subnet",
            label: "Subnet",
            value: &plan.subnet,
            hint: Some("Private IPv4 addresses of the members, as ADDRESS/LENGTH. Choose one that their own networks do not use. IPv6 comes by itself."),
            max: Some(18),
            ..Field::default()
        })
        (policies(&plan.policies))
        div.actions {
            button.primary { "Create group" }
            a.button href="/" { "Cancel" }
        }
    };
    frame.page(
        "Create a group",
        html! {
            (title(Some(("Groups", "/")), "Create a group", html! {}))
            p.lead { "You become its first administrator. Everything but name and subnet can be changed later." }
            @if let Some(why) = refused { (notice(Tone::Bad, why)) }
            (post(&frame.csrf, "stack", "/groups", form))
        },
    )
}
