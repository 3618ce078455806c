//! `warren`: the daemon and command line that drive the core.
//!
//! | module | question it answers |
//! |---|---|
//! | [`cli`] | which commands are there |
//! | [`config`], [`handed`], [`state`], [`known`], [`saving`] | what was set or handed over, and what is remembered |
//! | [`overlays`] | which overlays does this node take part in |
//! | [`identity`] | who is this node, and whom does it believe |
//! | [`pre_shared`] | how is a group kept by a shared key alone |
//! | [`up`] | how does a daemon start |
//! | [`driver`] | what does the node do next |
//! | [`lane`] | which thread moves the packets |
//! | [`device`], [`endpoints`], [`clock`] | what does the host offer |
//! | [`api`], [`client`] | how do the other commands talk to it |
//! | [`metrics`], [`log`], [`notify`] | what does an operator see |
//! | [`enrol`] | how is a membership got and kept by way of a group service |
//! | [`request`], [`ca`] | how is a group made with no server |
//! | [`advice`], [`failure`] | what does a user read when it does not work |

mod advice;
mod api;
mod bootstrap;
mod ca;
mod cli;
mod client;
mod clock;
mod config;
mod device;
mod driver;
mod endpoints;
mod enrol;
mod failure;
mod handed;
mod identity;
mod known;
mod lane;
mod log;
mod metrics;
mod notify;
mod overlays;
mod pre_shared;
mod request;
mod saving;
mod state;
mod up;

use std::process::ExitCode;

use clap::Parser;

use api::{Request, Victim};
use cli::{Cli, Command, Dht, Notices};
use config::{Role, read_text};
use failure::Failure;
use pki::Blob;

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Up(start) => up::run(start, Role::Member),
        Command::Bootstrap(start) => up::run(start, Role::Bootstrap),
        Command::Status(ask) => client::run(&Request::Status, ask),
        Command::Peers(ask) => client::run(&Request::Peers, ask),
        Command::Ping(ping) => {
            let (to, public) = (ping.member.clone(), ping.within.public);
            client::run(&Request::Ping { to, public }, &ping.within.ask)
        }
        Command::Dht(Dht::Get { name, within }) => {
            let (name, public) = (name.clone(), within.public);
            client::run(&Request::DhtGet { name, public }, &within.ask)
        }
        Command::Dht(Dht::Put { name, value, ttl, within }) => {
            let (name, value) = (name.clone(), value.clone());
            let (ttl_seconds, public) = (*ttl, within.public);
            client::run(&Request::DhtPut { name, value, ttl_seconds, public }, &within.ask)
        }
        Command::Crawl(within) => {
            client::run(&Request::Crawl { public: within.public }, &within.ask)
        }
        Command::Notices(Notices::Announce { file, blob, victim, ask }) => {
            let secrets = match blob {
                Some(path) => {
                    Blob::parse(&read_text(path)?).map_err(Failure::identity)?.group_secrets
                }
                None => {
                    eprintln!(
                        "warren: no new group secret given: --blob FILE takes it from a blob made \
                         after the revocation"
                    );
                    Vec::new()
                }
            };
            let notices = read_text(file)?.to_string();
            let victims = victim.iter().map(|&node| Victim { node, notice: None }).collect();
            client::run(&Request::Announce { notices, secrets, victims }, ask)
        }
        Command::Notices(Notices::Status { number, ask }) => {
            client::run(&Request::Acknowledgements { number: *number }, ask)
        }
        Command::Join(join) => enrol::join::run(join),
        Command::Request(make) => request::run(make),
        Command::Ca(command) => ca::run(command),
        Command::Psk(command) => pre_shared::run(command),
    }
}
