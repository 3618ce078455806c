//! The service at work: it opens what it needs, serves, does what is due, and drains.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use pki::enrolment::Pin;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::config::Config;
use crate::error::HostError;
use crate::http::{Readiness, Site, now, served};
use crate::serve::{
    self, CertificateFiles, Draining, LiveCertificate, Server, Traffic, serve_operations,
};
use crate::service::Service;
use crate::{api, enrol, web};

/// How often it is looked what is due.
const TICK: Duration = Duration::from_secs(60);
/// How often it is looked whether another process has revoked something: so late it reaches nodes over HTTPS. One
/// small query, however many nodes wait.
const LOOK: Duration = Duration::from_secs(1);

/// Serves until a signal ends it, and then until requests have been answered.
pub async fn serve(service: &Service) -> Result<()> {
    let config = service.config();
    let _alone = alone(config)?;
    let certificate = Arc::new(certificate(config).context("cannot use the certificate")?);
    service.set_pins(pins(config, &certificate));
    let tls = TlsAcceptor::from(serve::server_config(Arc::clone(&certificate))?);
    let listener = bind(config.listen).await?;
    let operations = bind(config.operations).await?;
    let (end, draining) = Draining::new();
    let traffic = Arc::new(Traffic::new());
    let site = Arc::new(Site::new(service.clone(), draining.clone(), Arc::clone(&traffic))?);
    let faces = vec![
        ("/api/", api::routes()),
        ("/enrol/", enrol::routes()),
        ("/crl/", enrol::routes()),
        ("/", web::routes()),
    ];
    let answering = warp::service(served(Arc::clone(&site), faces));
    let server = Server { listener, tls, draining, traffic: Arc::clone(&traffic) };
    let mut serving = tokio::spawn(server.run(answering));
    let monitoring =
        tokio::spawn(serve_operations(operations, Readiness(Arc::clone(&site)), traffic));
    tracing::info!(url = %config.url, listen = %config.listen, pin = %certificate.pin(), "serving");
    serve::ready();
    tokio::select! {
        signal = ended() => {
            tracing::info!(signal = signal?, "ending");
        }
        ended = &mut serving => ended.context("the server has failed")?,
        never = work(&site, &certificate) => match never {},
    }
    // Nobody listening means that all is over already.
    let _ = end.send(true);
    if !serving.is_finished() {
        serving.await.context("the server has failed")?;
    }
    monitoring.abort();
    Ok(())
}

/// What goes on beside the requests.
async fn work(site: &Site, certificate: &LiveCertificate) -> Infallible {
    let config = site.service.config();
    let ticks = async {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            tick(site).await;
            site.service.set_pins(pins(config, certificate));
        }
    };
    let hearing = async {
        site.holding.hear(site.service.changes()).await;
        std::future::pending().await
    };
    tokio::select! {
        never = ticks => never,
        never = hearing => never,
        never = hear_others(&site.service) => never,
        never = certificate.watch() => never,
        never = site.daemons.pass_on() => never,
        never = site.daemons.watch() => never,
    }
}

/// Wakes who waits for what another process has revoked.
async fn hear_others(service: &Service) -> Infallible {
    let mut known = HashMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = service.hear_others(&mut known).await {
            tracing::warn!(%error, "cannot look for revocations by other processes");
        }
    }
}

/// Does what is due, as long as there is much of it.
async fn tick(site: &Site) {
    loop {
        match site.service.tick(now()).await {
            Ok(report) => {
                tracing::debug!(?report, "done what was due");
                if !report.is_full() {
                    break;
                }
            }
            Err(error) => {
                tracing::error!(%error, "cannot do what is due");
                break;
            }
        }
    }
    if let Err(error) = site.sessions.prune(now()).await {
        tracing::error!(%error, "cannot forget old sessions");
    }
}

fn certificate(config: &Config) -> Result<LiveCertificate, serve::CertificateError> {
    match &config.tls {
        Some(tls) => LiveCertificate::load(CertificateFiles {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
        }),
        None => {
            let (certificate, key) =
                (config.state_dir.join("tls.crt"), config.state_dir.join("tls.key"));
            LiveCertificate::own(CertificateFiles { certificate, key }, &config.url.server().host)
        }
    }
}

/// Keeps a second process from serving the same SQLite database for as long as the file is open: each would hold
/// sessions, limits and long polls that the other does not know of.
fn alone(config: &Config) -> Result<Option<File>> {
    if !config.database().starts_with("sqlite:") {
        return Ok(None);
    }
    let path = config.state_dir.join("serve.lock");
    let place = path.display();
    let open = File::options().write(true).create(true).truncate(false).open(&path);
    let refused = |what: String| Err(HostError(what).into());
    let file = match open {
        Ok(file) => file,
        Err(error) => return refused(format!("cannot open {place}: {error}")),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => refused(format!(
            "another warren-groupd serves this database (it holds {place}): stop it, or use \
             PostgreSQL, which several can share"
        )),
        Err(TryLockError::Error(error)) => refused(format!("cannot lock {place}: {error}")),
    }
}

/// What blobs pin: the key in use and those to come, unless the roots of the web verify it.
fn pins(config: &Config, certificate: &LiveCertificate) -> Vec<Pin> {
    if config.tls.as_ref().is_some_and(|tls| tls.public) {
        return Vec::new();
    }
    let others = config.also_pinned.iter().copied().filter(|pin| *pin != certificate.pin());
    std::iter::once(certificate.pin()).chain(others).collect()
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let cure = "set `listen` and `operations` to free addresses of this machine";
        HostError(format!("cannot listen on {address}: {error}: {cure}")).into()
    })
}

/// Waits for the signal that ends the service.
async fn ended() -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
