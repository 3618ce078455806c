//! The groups of the visitor, finding one, and making one.

use std::sync::Arc;

use serde::Deserialize;

use super::settings::PolicyForm;
use super::{done, frame, is_about_input, page, page_with, sentence};
use crate::http::{Answer, Ask, Problem, Site, now, see_other};
use crate::model::{Policies, Refusal};
use crate::service::NewGroup;
use crate::web::page::Said;
use crate::web::pages::create::{Plan, create as create_form};
use crate::web::pages::{encoded, home as home_page};

/// What the form proposes: private, large enough, and rarely anybody's network at home.
const SUBNET_PROPOSED: &str = "10.42.0.0/16";

#[derive(Deserialize)]
struct Find {
    name: String,
}

#[derive(Deserialize)]
struct Create {
    name: String,
    subnet: String,
    #[serde(flatten)]
    policies: PolicyForm,
}

pub async fn home(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let caller = ask.caller();
    let groups = site.service.groups(&caller, true, &ask.page()?).await?;
    let requests = site.service.own_requests(&caller).await?;
    let next = super::next(&groups, "/");
    let frame = frame(&ask);
    Ok(page(&ask, home_page::home(&frame, &groups.items, &requests, next.as_deref())))
}

/// Leads to the group of that name; its page says whether there is one.
pub async fn find(_: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Find { name } = ask.query()?;
    Ok(see_other(&format!("/groups/{}", encoded(name.trim()))))
}

pub async fn create_page(_: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let plan = Plan {
        name: String::new(),
        subnet: SUBNET_PROPOSED.to_owned(),
        policies: Policies::default(),
    };
    Ok(page(&ask, create_form(&frame(&ask), &plan, None)))
}

pub async fn create(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let Create { name, subnet, policies } = ask.form()?;
    let (name, subnet) = (name.trim().to_owned(), subnet.trim().to_owned());
    let mut entered = Policies::default();
    let result = match policies.read(&mut entered) {
        Ok(()) => make(&site, &ask, &name, &subnet, &entered).await,
        Err(refusal) => Err(refusal.into()),
    };
    match result {
        Ok(()) => Ok(done(&format!("/groups/{name}"), Said::Created)),
        Err(problem) if is_about_input(&problem) => {
            let plan = Plan { name, subnet, policies: entered };
            let form = create_form(&frame(&ask), &plan, Some(&sentence(&problem.message)));
            Ok(page_with(&ask, problem.status, form))
        }
        Err(problem) => Err(problem),
    }
}

async fn make(
    site: &Site,
    ask: &Ask,
    name: &str,
    subnet: &str,
    policies: &Policies,
) -> Result<(), Problem> {
    let subnet = subnet
        .parse()
        .map_err(|_| Refusal::Setting("a subnet is a private network such as 10.42.0.0/16"))?;
    let new = NewGroup { name: name.to_owned(), subnet, policies: policies.clone() };
    Ok(site.service.create_group(&ask.caller(), new, now()).await?)
}
