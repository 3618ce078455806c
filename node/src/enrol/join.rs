//! `warren join URL GROUP`: the user lets the device in with a browser, here or on another machine (RFC
//! 8628), and the device gets the blob that the user would have downloaded.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pki::Handed;
use pki::enrolment::{
    Code, Denial, DeviceAnswer, DeviceRequest, DeviceTokenAnswer, DeviceTokenRequest,
};

use super::client::Client;
use super::service::{device, device_token};
use super::start::host_name;
use super::trouble::Trouble;
use crate::cli::{Join, Start};
use crate::config::Role;
use crate::config::STATE_DIR_DEFAULT;
use crate::failure::Failure;
use crate::request::write_out;
use crate::state::StateDir;
use crate::up;

/// Gets the blob, keeps it in the state directory, and starts the daemon if that is wanted.
pub fn run(join: &Join) -> Result<(), Failure> {
    let path = join.overrides.state_dir.clone();
    let path = path.unwrap_or_else(|| PathBuf::from(STATE_DIR_DEFAULT));
    {
        let state = StateDir::open(&path)?;
        let runtime = up::runtime()?;
        let text = runtime.block_on(ask_user(join))?;
        let handed = Handed::parse(&text.blob).map_err(Failure::identity)?;
        if handed.group() != join.group {
            return Err(Failure::identity(format!(
                "the service handed over a blob of {} in place of {}",
                handed.group(),
                join.group
            )));
        }
        state.set_blob(&text.blob)?;
    }
    if join.up {
        let start = Start { overrides: join.overrides.clone(), ..Start::default() };
        return up::run(&start, Role::Member);
    }
    let place = path.display();
    write_out(None, &format!("confirmed; now start: warren up --state-dir {place}\n"))
}

/// Shows the code and waits for the user's word.
async fn ask_user(join: &Join) -> Result<DeviceTokenAnswer, Failure> {
    let mut client = Client::new(&join.url, &join.pin)?;
    let name = host_name();
    let request = DeviceRequest::new(&join.group, name.as_deref()).map_err(Failure::usage)?;
    let answer = device(&mut client, &request).await.map_err(Trouble::into_failure)?;
    let DeviceAnswer { device_code, user_code, verification_url, interval, expires_in } = answer;
    let group = &join.group;
    write_out(
        None,
        &format!("To join {group}, open {verification_url} and confirm the code {user_code}\n"),
    )?;
    let _ = std::io::stdout().flush();
    let end = Instant::now() + Duration::from_secs(expires_in.into());
    let question = DeviceTokenRequest { device_code };
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(interval.into())).await;
        match device_token(&mut client, &question).await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(trouble) if trouble.is_passing() => {}
            Err(trouble) => return Err(trouble.into_failure()),
        }
    }
    let denial = Denial { code: Code::DeviceExpired, message: String::new() };
    Err(Trouble::Denied { server: client.server(), denial }.into_failure())
}
