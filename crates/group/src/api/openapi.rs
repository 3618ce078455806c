//! How all that is described: the OpenAPI 3.1 document, made from the types and served.

use std::sync::Arc;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, SecurityRequirement};
use utoipa::{Modify, OpenApi};
use warp::http::StatusCode;

use super::{account, audit, device, group, joining, node, revocation, token};
use crate::http::{Answer, Ask, Site, json};

#[derive(OpenApi)]
#[openapi(
    info(title = "Warren group service", description = "Accounts, approval, certificates, revocation."),
    modifiers(&Credentials, &Names),
    paths(
        show,
        account::sign_up,
        account::list,
        account::disable,
        account::enable,
        account::log_in,
        account::log_out,
        account::me,
        account::close,
        account::change_password,
        account::tokens,
        account::add_token,
        account::end_token,
        group::list,
        group::create,
        group::show,
        group::change,
        group::delete,
        joining::list,
        joining::ask_to_join,
        joining::own,
        joining::approve,
        joining::deny,
        joining::withdraw,
        joining::members,
        joining::promote,
        joining::demote,
        joining::remove,
        joining::leave,
        token::draw,
        token::list,
        token::end,
        node::list,
        node::ring,
        revocation::list,
        revocation::revoke,
        revocation::show,
        audit::of_group,
        audit::of_site,
        device::show,
        device::confirm,
        device::deny,
    ),
)]
struct Api;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut Document) {
        let cookie = ApiKeyValue::with_description("__Host-warren", "with the header x-csrf-token");
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("wa1_...");
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        components.add_security_scheme("token", SecurityScheme::Http(token.build()));
        let either = ["session", "token"];
        let either = either.map(|name| SecurityRequirement::new(name, [] as [&str; 0]));
        document.security = Some(either.into());
    }
}

/// Gives each operation a name of its own: its method and the words of its path.
struct Names;

impl Modify for Names {
    fn modify(&self, document: &mut Document) {
        for (path, item) in &mut document.paths.paths {
            let operations = [
                ("get", &mut item.get),
                ("post", &mut item.post),
                ("patch", &mut item.patch),
                ("delete", &mut item.delete),
            ];
            let words = path.trim_start_matches("/api/v1/").replace(['/', '.'], "_");
            let words = words.replace(['{', '}'], "");
            for (method, operation) in operations {
                if let Some(operation) = operation {
                    operation.operation_id = Some(format!("{method}_{words}"));
                }
            }
        }
    }
}

/// Returns the document.
pub fn document() -> Document {
    Api::openapi()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "about", security(()),
    responses((status = 200, body = Object)))]
pub(super) async fn show(_: Arc<Site>, _: Arc<Ask>) -> Answer {
    Ok(json(StatusCode::OK, &document()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::Access;

    fn operations() -> Vec<(String, String, serde_json::Value)> {
        let document = serde_json::to_value(document()).expect("writes");
        let paths = document["paths"].as_object().expect("has paths").clone();
        let of_path = |(path, methods): (String, serde_json::Value)| {
            let methods = methods.as_object().expect("has methods").clone();
            methods
                .into_iter()
                .map(move |(method, what)| (method.to_uppercase(), path.clone(), what))
        };
        paths.into_iter().flat_map(of_path).collect()
    }

    #[test]
    fn unit_wb_01_the_document_and_the_routes_agree() {
        let routes = super::super::routes();
        let served: BTreeSet<_> =
            routes.iter().map(|r| (r.method.to_string(), r.template.to_owned())).collect();
        assert_eq!(routes.iter().count(), served.len(), "no route stands there twice");
        let described: BTreeSet<_> =
            operations().into_iter().map(|(method, path, _)| (method, path)).collect();
        assert_eq!(served, described);
    }

    #[test]
    fn unit_wb_01_the_document_says_where_no_log_in_is_needed() {
        let routes = super::super::routes();
        for (method, path, operation) in operations() {
            let route = routes.iter().find(|r| r.method == *method && r.template == path);
            let open = matches!(route.expect("agrees").access, Access::Anyone | Access::OwnPages);
            assert_eq!(operation.get("security").is_some(), open, "{method} {path}");
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_says_how_problems_look() {
        let all = operations();
        let names: BTreeSet<_> = all.iter().map(|(_, _, o)| o["operationId"].to_string()).collect();
        assert_eq!(names.len(), all.len());
        for (method, path, operation) in all.iter().filter(|(_, path, _)| !path.ends_with(".json"))
        {
            assert!(operation["responses"].get("4XX").is_some(), "{method} {path}");
        }
    }
}
