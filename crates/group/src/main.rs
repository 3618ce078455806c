//! `warren-groupd`: reads the settings, opens the service, runs it until it is told to stop.

mod cli;
mod failure;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use group::admin;
use group::config::Config;
use group::http::now;
use group::model::Caller;
use group::service::Service;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::cli::{Admin, Cli, Command};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let named = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    // PostgreSQL tells at each start that the tables are there.
    let usual =
        Targets::new().with_default(Level::INFO).with_target("sqlx::postgres::notice", Level::WARN);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(named.unwrap_or(usual))).init();
    match run(&cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let config = Config::load(&cli.config)?;
    if let Command::Admin(Admin::Import { from }) = &cli.command {
        let rows = admin::transfer::import(&config, from).await?;
        println!("{rows} rows read");
        return Ok(());
    }
    let service = Service::open(config).await?;
    let done = match &cli.command {
        Command::Serve => group::run::serve(&service).await,
        Command::Admin(command) => administer(&service, command).await,
        Command::Backup { to } => {
            admin::backup::backup(&service, to).await?;
            println!("database copied to {}", to.display());
            for (file, why) in admin::backup::belongs_to_it(service.config()) {
                println!("keep {} as well, at another place: {why}", file.display());
            }
            Ok(())
        }
    };
    service.close().await;
    done
}

async fn administer(service: &Service, command: &Admin) -> Result<()> {
    match command {
        Admin::CreateUser { name, email, password } => {
            let (name, email) = (name.clone(), email.clone());
            let from_stdin = password.password_stdin;
            show(admin::account::create(service, name, email, from_stdin, now()).await?);
        }
        Admin::SetPassword { name, password } => {
            let from_stdin = password.password_stdin;
            show(admin::account::set_password(service, name, from_stdin, now()).await?);
        }
        Admin::Promote { name, demote } => {
            admin::account::promote(service, name, *demote, now()).await?;
        }
        Admin::Revoke { group, what, reason, wait } => {
            let (revoked, reason) = (what.revoked(), reason.clone());
            let number = admin::revoke::revoke(service, group, revoked, reason).await?;
            println!("notice {number}");
            if let Some(user) = &what.user {
                println!("{user} is no member of {group} any more");
                if admin::revoke::lets_in_who_asks(service, group).await? {
                    eprintln!(
                        "warren-groupd: {group} lets in everybody who asks, {user} too: set its \
                         approval to manual to keep somebody out"
                    );
                }
            }
            if let Err(error) = admin::revoke::pass_on(service, group).await {
                eprintln!(
                    "warren-groupd: signed, and members that ask this service get it; not passed on \
                     over the overlay, which the running service tries again: {error:#}"
                );
            }
            match wait {
                Some(_) if !service.config().daemons.contains_key(group) => eprintln!(
                    "warren-groupd: no daemon of {group} is named under `daemons`, so nobody counts \
                     who knows it, and --wait waits for nothing"
                ),
                Some(seconds) => {
                    let patience = Duration::from_secs(*seconds);
                    let known = admin::revoke::wait(service, group, number, patience).await?;
                    println!("known by {} of {} live members", known.acknowledged, known.live);
                }
                None => {}
            }
        }
        Admin::RotateCa { group } => {
            let (issuer, from) =
                service.rotate_authority(&Caller::operator(), group, now()).await?;
            println!("authority {issuer} is announced to members and takes over on {from}");
        }
        Admin::Export { to } => {
            let rows = admin::transfer::export(service, to).await?;
            println!("{rows} rows written to {}", to.display());
            println!("its keys are sealed under {}", service.config().master_key().display());
        }
        Admin::CopyTo { url } => {
            let rows = admin::transfer::copy_to(service, url).await?;
            println!("{rows} rows copied; set `database` to the new one and restart the service");
        }
        Admin::ListUsers { json } => {
            admin::list::users(service, *json, std::io::stdout().lock()).await?;
        }
        Admin::ListGroups { json } => {
            admin::list::groups(service, *json, std::io::stdout().lock()).await?;
        }
        Admin::Check => {
            let findings = service.check().await?;
            findings.iter().for_each(|finding| println!("{finding}"));
            anyhow::ensure!(
                findings.is_empty(),
                "the database is not consistent: restore a backup"
            );
            println!("consistent");
        }
        Admin::Audit { group } => {
            admin::audit::write(service, group.as_deref(), std::io::stdout().lock()).await?;
        }
        Admin::Import { .. } => unreachable!("it does not need an open service"),
    }
    Ok(())
}

fn show(drawn: Option<zeroize::Zeroizing<String>>) {
    if let Some(password) = drawn {
        println!("password: {}", *password);
        println!("it is shown this once");
    }
}
