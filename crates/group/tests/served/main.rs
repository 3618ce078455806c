//! The service as a real process, over TLS.

mod client;
mod daemons;
mod double;
mod fuzz;
mod large;
mod newcomer;
mod nodes;
mod people;
mod provider;
mod server;
mod walk;

#[test]
fn a_second_process_does_not_serve_the_same_sqlite_database() {
    let server = server::Server::start();
    let said = server.second();
    assert!(said.contains("another warren-groupd serves this database"), "{said}");
}
