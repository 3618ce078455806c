//! `warren-groupd`: reads the settings, opens the service, runs it until it is told to stop.

mod cli;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use group::admin;
use group::config::Config;
use group::service::Service;
use pki::UnixTime;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{Admin, Cli, Command};

/// How often it is looked what is due.
const TICK: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "multi_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(&cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warren-groupd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let config = Config::load(&cli.config)?;
    let service = Service::open(config).await.context("cannot open the service")?;
    let done = match &cli.command {
        Command::Serve => serve(&service).await,
        Command::Admin(command) => administer(&service, command).await,
        Command::Backup { to } => {
            admin::backup::backup(&service, to).await?;
            println!("database copied to {}", to.display());
            println!(
                "keep {} with it, at another place: without it the copy is useless",
                service.config().master_key().display()
            );
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
    }
    Ok(())
}

fn show(drawn: Option<zeroize::Zeroizing<String>>) {
    if let Some(password) = drawn {
        println!("password: {}", *password);
        println!("it is shown this once");
    }
}

/// Does what is due, until a signal ends it.
async fn serve(service: &Service) -> Result<()> {
    let mut end = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut ticks = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            _ = ticks.tick() => match service.tick(now()).await {
                Ok(report) => tracing::debug!(?report, "done what was due"),
                Err(error) => tracing::error!(%error, "cannot do what is due"),
            },
            _ = end.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        }
    }
}

fn now() -> UnixTime {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(elapsed.as_secs())
}
