//! How a device gets the word of its user (RFC 8628, without the parts that we need not).
//!
//! How it works: the device asks for a code and shows it with a link. The user follows the link, logs
//! in, compares the code and says yes or no. Meanwhile the device asks every few seconds, and with a
//! yes gets an invitation with a token for one node of that user. A user who is no member asks to
//! join in the same step; the token waits for that approval.
//!
//! What must hold: a code names the device that shows it and nothing else, so the page says which
//! host and which group before anybody says yes. An invitation is handed out once. Codes cannot be
//! guessed in number: typing them is limited for each user, and they live ten minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pki::UnixTime;
use pki::enrolment::{
    DeviceAnswer, DeviceCode, DeviceRequest, DeviceTokenAnswer, DeviceTokenRequest, Pending,
    UserCode,
};
use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::{message, told, written};
use crate::error::Result;
use crate::http::{Answer, Ask, Problem, Site, now};
use crate::model::{Caller, TokenOptions};
use crate::service::Service;
use crate::store::device::{self, Device, DeviceState};
use crate::view::StandingView;

/// How long a device waits for its user.
const LIFE: Duration = Duration::from_secs(600);
/// How long a device pauses between two questions, in seconds (RFC 8628 section 3.5).
const INTERVAL_SECONDS: u32 = 5;
/// Most devices that wait: far below what makes codes easy to hit.
const DEVICES_MAX: u32 = 10_000;
/// How long the token of a device waits for the approval of its user.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// What the page of the code is called, below the service's address.
const PLACE: &str = "/device/";

/// Devices that wait.
#[derive(Clone)]
pub struct Devices {
    service: Service,
}

/// A device, as its user sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PendingDevice {
    /// What it shows.
    #[schema(value_type = String, example = "BCDF-GHJK")]
    pub user_code: UserCode,
    /// The group that it wants into.
    pub group: String,
    /// What it calls itself.
    pub host: Option<String>,
    /// Until when it waits, in seconds since 1970.
    #[schema(value_type = u64)]
    pub expires: UnixTime,
}

impl Devices {
    /// Devices in the store of a service.
    pub fn new(service: Service) -> Self {
        Self { service }
    }

    async fn add(
        &self,
        asked: DeviceRequest,
        now: UnixTime,
    ) -> Result<Option<(DeviceCode, UserCode)>> {
        let (code, user_code) = (DeviceCode::random(), UserCode::random());
        let device = Device {
            user_code,
            group: asked.group,
            host: asked.host,
            state: DeviceState::Waiting,
            user: None,
            expires: now + LIFE,
        };
        let mut tx = self.service.store().begin().await?;
        device::prune(&mut tx, now).await?;
        if device::count(&mut tx).await? >= DEVICES_MAX {
            return Ok(None);
        }
        device::add(&mut tx, &code.hash(), &device).await?;
        tx.commit().await?;
        Ok(Some((code, user_code)))
    }

    /// Finds a device that waits for somebody's word.
    pub async fn find(&self, code: UserCode, now: UnixTime) -> Result<Option<PendingDevice>> {
        let mut db = self.service.store().read().await?;
        let found = device::find_by_code(&mut db, code).await?;
        let waits = |device: &Device| device.state == DeviceState::Waiting && now < device.expires;
        Ok(found.filter(waits).map(|Device { user_code, group, host, expires, .. }| {
            PendingDevice { user_code, group, host, expires }
        }))
    }

    /// Says yes or no; returns whether the device was still waiting.
    async fn decide(&self, code: UserCode, caller: &Caller, yes: bool) -> Result<bool> {
        let crate::model::Actor::User(user) = caller.actor else { return Ok(false) };
        let state = if yes { DeviceState::Confirmed } else { DeviceState::Denied };
        let mut tx = self.service.store().begin().await?;
        let decided = device::decide(&mut tx, code, user, state).await?;
        tx.commit().await?;
        Ok(decided)
    }

    /// The device that has this code.
    async fn get(&self, code: &DeviceCode, now: UnixTime) -> Result<Option<Device>> {
        let found = device::find(&mut *self.service.store().read().await?, &code.hash()).await?;
        Ok(found.filter(|device| now < device.expires))
    }

    /// Forgets a device; returns whether it was there, so that only one asker gets what it waited for.
    async fn forget(&self, code: &DeviceCode) -> Result<bool> {
        let mut tx = self.service.store().begin().await?;
        let was_there = device::forget(&mut tx, &code.hash()).await?;
        tx.commit().await?;
        Ok(was_there)
    }
}

impl Site {
    /// Shows the device of a code that somebody has typed.
    pub async fn device(
        &self,
        ask: &Ask,
        code: &str,
    ) -> std::result::Result<PendingDevice, Problem> {
        let user = ask.person()?.user.id;
        self.limited(self.limits.codes.take(user, Instant::now()))?;
        let code = code.parse().map_err(|_| Problem::not_found())?;
        self.devices.find(code, now()).await?.ok_or_else(no_device)
    }

    /// Lets a device in as a node of the one who asks, who becomes a member or asks to if need be.
    pub async fn confirm_device(
        &self,
        ask: &Ask,
        code: &str,
        reason: &str,
    ) -> std::result::Result<PendingDevice, Problem> {
        let device = self.device(ask, code).await?;
        let caller = ask.caller();
        let summary = self.service.group_summary(&caller, &device.group).await?;
        if matches!(summary.standing, StandingView::Outside | StandingView::Denied) {
            self.service.ask(&caller, &device.group, reason.to_owned(), now()).await?;
        }
        self.decide_device(&device, &caller, true).await?;
        Ok(device)
    }

    /// Sends a device away.
    pub async fn deny_device(&self, ask: &Ask, code: &str) -> std::result::Result<(), Problem> {
        let device = self.device(ask, code).await?;
        self.decide_device(&device, &ask.caller(), false).await
    }

    /// Says yes or no, unless somebody else was quicker.
    async fn decide_device(
        &self,
        device: &PendingDevice,
        caller: &Caller,
        yes: bool,
    ) -> std::result::Result<(), Problem> {
        let decided = self.devices.decide(device.user_code, caller, yes).await?;
        decided.then_some(()).ok_or_else(no_device)
    }
}

fn no_device() -> Problem {
    const MESSAGE: &str = "no device shows this code, or not any more; start it again";
    Problem::new(StatusCode::NOT_FOUND, "not_found", MESSAGE)
}

/// `POST /enrol/v1/device`
pub(super) async fn begin(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    site.limited(site.limits.devices.take(ask.source(), Instant::now()))?;
    let asked: DeviceRequest = message(&ask)?;
    let Some((device_code, user_code)) = site.devices.add(asked, now()).await? else {
        return Err(Problem::unavailable("too many devices wait; try again later", LIFE / 10));
    };
    let page = format!("{}{PLACE}{user_code}", site.service.config().url);
    let verification_url = page.parse().map_err(|error| Problem::internal(&error))?;
    let expires_in = LIFE.as_secs() as u32;
    let interval = INTERVAL_SECONDS;
    let answer = DeviceAnswer { device_code, user_code, verification_url, interval, expires_in };
    Ok(written(StatusCode::OK, &answer))
}

/// `POST /enrol/v1/device/token`
pub(super) async fn token(site: Arc<Site>, ask: Arc<Ask>) -> Answer {
    let DeviceTokenRequest { device_code: code } = message(&ask)?;
    let expired = || {
        const MESSAGE: &str = "nobody has said yes to this device in time; start again";
        Problem::new(StatusCode::FORBIDDEN, "device_expired", MESSAGE)
    };
    let device = site.devices.get(&code, now()).await?.ok_or_else(expired)?;
    let user = match (device.state, device.user) {
        (DeviceState::Waiting, _) => {
            return Ok(written(StatusCode::ACCEPTED, &Pending::default()));
        }
        (DeviceState::Confirmed, Some(user)) => user,
        _ => {
            site.devices.forget(&code).await?;
            const MESSAGE: &str = "the user has said no to this device";
            return Err(Problem::new(StatusCode::FORBIDDEN, "device_denied", MESSAGE));
        }
    };
    let options = TokenOptions {
        label: device.host.unwrap_or_else(|| "device".to_owned()),
        reusable: false,
        ephemeral: false,
        life: TOKEN_LIFE,
    };
    let caller = Caller::user(user, ask.peer);
    let invited = site.service.invite(&caller, &device.group, options, now()).await;
    // Only now: where no invitation could be written, the device asks again.
    let (drawn, blob) = invited.map_err(told)?;
    if !site.devices.forget(&code).await? {
        site.service.end_token(&caller, &device.group, drawn, now()).await.map_err(told)?;
        return Err(expired());
    }
    Ok(written(StatusCode::OK, &DeviceTokenAnswer { blob }))
}
