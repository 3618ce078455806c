//! People at a browser: the whole way through the pages, without script, over TLS, against the real
//! service. Pictures of the pages go to `target/screenshots`.

mod chromium;
#[path = "../served/client.rs"]
#[allow(dead_code)] // other tests use the rest
mod client;
#[path = "../served/double.rs"]
mod double;
mod flow;
mod keyboard;
mod live;
#[path = "../served/newcomer.rs"]
#[allow(dead_code)] // other tests use the rest
mod newcomer;
mod places;
#[path = "../served/server.rs"]
#[allow(dead_code)] // other tests use the rest
mod server;
mod steps;
