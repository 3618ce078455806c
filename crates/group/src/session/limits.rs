//! Which limits there are: how often who may do what.

use std::time::{Duration, Instant};

use super::lockout::Lockout;
use super::rate::{Limiter, Rate};
use crate::model::{Source, UserId};

/// Log-ins from one network: each costs a hash of 19 MiB and some 30 ms, wrong or right.
const LOGINS: Rate = Rate { every: Duration::from_secs(1), burst: 30 };
/// Sign-ups from one network: a class of pupils at once, then one a minute.
const SIGN_UPS: Rate = Rate { every: Duration::from_secs(60), burst: 40 };
/// Devices that ask for a code, from one network: each makes a row that lives ten minutes.
const DEVICES: Rate = Rate { every: Duration::from_secs(6), burst: 30 };
/// Codes that a user types: 34 bits, of which some thousands are alive at most.
const CODES: Rate = Rate { every: Duration::from_secs(10), burst: 10 };
/// Whatever strangers ask for, from one network.
const STRANGERS: Rate = Rate { every: Duration::from_millis(10), burst: 500 };
/// Whatever one user asks for.
const PEOPLE: Rate = Rate { every: Duration::from_millis(20), burst: 500 };
/// What nodes of one network ask for: thousands that renew after an outage, at the pace that the
/// service can sign.
const NODES: Rate = Rate { every: Duration::from_millis(2), burst: 2000 };

/// All limits.
#[derive(Debug)]
pub struct Limits {
    /// Log-ins, by network.
    pub logins: Limiter<Source>,
    /// Failed log-ins.
    pub lockout: Lockout,
    /// Sign-ups, by network.
    pub sign_ups: Limiter<Source>,
    /// Devices that ask for a code, by network.
    pub devices: Limiter<Source>,
    /// Codes of devices that are typed, by user.
    pub codes: Limiter<UserId>,
    /// Anything, by network.
    pub strangers: Limiter<Source>,
    /// Anything, by user.
    pub people: Limiter<UserId>,
    /// Enrolment and renewal, by network.
    pub nodes: Limiter<Source>,
}

impl Limits {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self {
            logins: Limiter::new(LOGINS),
            lockout: Lockout::default(),
            sign_ups: Limiter::new(SIGN_UPS),
            devices: Limiter::new(DEVICES),
            codes: Limiter::new(CODES),
            strangers: Limiter::new(STRANGERS),
            people: Limiter::new(PEOPLE),
            nodes: Limiter::new(NODES),
        }
    }

    /// Says whether another log-in may be tried, or how long to wait.
    pub fn may_log_in(&self, account: &str, source: &Source, now: Instant) -> Result<(), Duration> {
        self.logins.take(source.clone(), now)?;
        self.lockout.check(account, source, now)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}
