//! What time it is: the only place of the daemon that reads clocks for the core.

use std::time::{Instant as Monotonic, SystemTime, UNIX_EPOCH};

use proto::time::{Instant, Now, UnixTime};

/// The monotonic clock since the start of the daemon, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Monotonic,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { origin: Monotonic::now() }
    }

    /// Monotonic time of the core.
    pub fn instant(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Both times.
    pub fn now(&self) -> Now {
        Now { instant: self.instant(), unix: unix(SystemTime::now()) }
    }

    /// The time of the core as the operating system counts it; `None` if it is beyond its range.
    pub fn to_monotonic(self, at: Instant) -> Option<Monotonic> {
        self.origin.checked_add(at.saturating_since(Instant::ZERO))
    }
}

/// Wall time in whole seconds; a clock before 1970 reads as 1970.
pub fn unix(time: SystemTime) -> UnixTime {
    UnixTime(time.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs()))
}
