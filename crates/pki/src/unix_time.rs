//! Wall time as an input: seconds since 1970, never read from a clock here.
//!
//! Arithmetic saturates at both ends, so hostile times in certificates and notices cannot overflow.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The end of time.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Returns how long ago `earlier` was, or zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// Converts to a calendar time; times past the year 9999 become its last second, the end of
    /// what X.509 can write.
    pub(crate) fn to_calendar(self) -> OffsetDateTime {
        const YEAR_9999_END: i64 = 253_402_300_799;
        let seconds = i64::try_from(self.0).unwrap_or(YEAR_9999_END).min(YEAR_9999_END);
        OffsetDateTime::from_unix_timestamp(seconds).expect("the year is within 1970 and 9999")
    }

    /// Converts the signed seconds of an ASN.1 time; times before 1970 become 1970.
    pub(crate) fn from_asn1(seconds: i64) -> Self {
        Self(u64::try_from(seconds).unwrap_or(0))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }
}

impl fmt::Display for UnixTime {
    /// Writes RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_calendar().format(&Rfc3339) {
            Ok(text) => f.write_str(&text),
            Err(_) => write!(f, "{} s", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let hour = Duration::from_secs(3600);
        assert_eq!(UnixTime(10) - hour, UnixTime(0));
        assert_eq!(UnixTime::MAX + hour, UnixTime::MAX);
        assert_eq!(UnixTime(5).since(UnixTime(9)), Duration::ZERO);
        assert_eq!((UnixTime(5) + hour).since(UnixTime(5)), hour);
    }

    #[test]
    fn display_is_rfc_3339() {
        assert_eq!(UnixTime(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(UnixTime::MAX.to_string(), "9999-12-31T23:59:59Z");
    }
}
