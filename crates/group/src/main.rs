//! `warren-groupd`: reads the settings, opens the service, runs it until it is told to stop.

mod cli;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use group::admin;
use group::config::Config;
use group::http::now;
use group::service::Service;
use tracing_subscriber::EnvFilter;

use crate::cli::{Admin, Cli, Command};

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
        Command::Serve => group::run::serve(&service).await,
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
