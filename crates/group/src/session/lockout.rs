//! Who has guessed passwords too often: a delay that grows with each failure.
//!
//! How it works: failures are counted for the account from one network, for the network, and for the
//! account from everywhere; each has tries that cost nothing, then a delay that doubles up to a limit.
//! A network from which the account was used before is not held up by failures from elsewhere, so
//! that nobody can lock somebody else out.
//!
//! What must hold: an account that does not exist is counted like any other, by the name that was
//! typed. The table is bounded; what is old or least is forgotten.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Source;

/// Failures are forgotten after this time without another one.
const MEMORY: Duration = Duration::from_secs(3600);
/// Most entries. An attempt makes three.
const ENTRIES_MAX: usize = 65_536;

/// Limits of one kind of entry.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Failures without a delay.
    free: u32,
    /// The longest delay.
    longest: Duration,
}

/// Somebody who has forgotten which password it was.
const OF_BOTH: Limits = Limits { free: 5, longest: Duration::from_secs(900) };
/// Many users behind one router, or one that tries many accounts.
const OF_SOURCE: Limits = Limits { free: 30, longest: Duration::from_secs(900) };
/// Many networks that try one account. With a delay of a minute they get through 1,440 passwords a day.
const OF_ACCOUNT: Limits = Limits { free: 50, longest: Duration::from_secs(60) };

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Entry {
    Both(String, Source),
    Source(Source),
    Account(String),
}

impl Entry {
    const fn limits(&self) -> Limits {
        match self {
            Self::Both(..) => OF_BOTH,
            Self::Source(_) => OF_SOURCE,
            Self::Account(_) => OF_ACCOUNT,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Instant,
    until: Instant,
    /// The account was used from there.
    known: bool,
}

/// What failed lately.
#[derive(Debug, Default)]
pub struct Lockout {
    records: Mutex<HashMap<Entry, Record>>,
}

impl Lockout {
    /// Says how long to wait before the next try.
    pub fn check(&self, account: &str, source: &Source, now: Instant) -> Result<(), Duration> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let record =
            |entry: &Entry| records.get(entry).filter(|r| r.last + MEMORY > now || r.known);
        let [both, from, account] = entries(account, source);
        let known = record(&both).is_some_and(|record| record.known);
        let held = [Some(both), Some(from), Some(account).filter(|_| !known)];
        let until = held.iter().flatten().filter_map(|entry| Some(record(entry)?.until)).max();
        match until.map(|until| until.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub fn failed(&self, account: &str, source: &Source, now: Instant) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut records, now);
        for entry in entries(account, source) {
            let limits = entry.limits();
            let fresh = Record { failures: 0, last: now, until: now, known: false };
            let record = records.entry(entry).or_insert(fresh);
            if record.last + MEMORY <= now {
                record.failures = 0;
            }
            record.failures = record.failures.saturating_add(1);
            record.last = now;
            record.until = now + delay(limits, record.failures);
        }
    }

    /// Forgets the failures of an account from there; its network may try on.
    pub fn succeeded(&self, account: &str, source: &Source, now: Instant) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut records, now);
        let [both, ..] = entries(account, source);
        records.insert(both, Record { failures: 0, last: now, until: now, known: true });
    }
}

fn entries(account: &str, source: &Source) -> [Entry; 3] {
    [
        Entry::Both(account.to_owned(), source.clone()),
        Entry::Source(source.clone()),
        Entry::Account(account.to_owned()),
    ]
}

/// One second, two, four, until the longest.
fn delay(limits: Limits, failures: u32) -> Duration {
    match failures.checked_sub(limits.free) {
        None | Some(0) => Duration::ZERO,
        Some(beyond) => {
            let seconds = 1u64.checked_shl(beyond - 1).unwrap_or(u64::MAX);
            Duration::from_secs(seconds).min(limits.longest)
        }
    }
}

/// Forgets what is old; if that is not enough, whatever does not hold anybody up.
fn make_room(records: &mut HashMap<Entry, Record>, now: Instant) {
    if records.len() + 3 <= ENTRIES_MAX {
        return;
    }
    records.retain(|_, record| record.last + MEMORY > now);
    if records.len() + 3 > ENTRIES_MAX {
        records.retain(|_, record| record.until > now);
    }
    if records.len() + 3 > ENTRIES_MAX {
        records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::of(text.parse().expect("an address"))
    }

    #[test]
    fn unit_wb_01_the_delay_grows_with_each_wrong_password() {
        let lockout = Lockout::default();
        let (start, home) = (Instant::now(), source("192.0.2.1"));
        for _ in 0..OF_BOTH.free {
            assert_eq!(lockout.check("ana", &home, start), Ok(()));
            lockout.failed("ana", &home, start);
        }
        assert_eq!(lockout.check("ana", &home, start), Ok(()));
        for seconds in [1, 2, 4, 8] {
            lockout.failed("ana", &home, start);
            let wait = Duration::from_secs(seconds);
            assert_eq!(lockout.check("ana", &home, start), Err(wait));
            assert_eq!(lockout.check("ana", &home, start + wait), Ok(()));
        }
        assert_eq!(lockout.check("bo", &home, start), Ok(()), "others from there may go on");
        assert_eq!(lockout.check("ana", &home, start + MEMORY), Ok(()), "forgotten after a while");
    }

    #[test]
    fn unit_wb_01_one_network_that_tries_many_accounts_is_held_up() {
        let lockout = Lockout::default();
        let (start, theirs) = (Instant::now(), source("192.0.2.1"));
        for number in 0..=OF_SOURCE.free {
            lockout.failed(&format!("user-{number}"), &theirs, start);
        }
        assert!(lockout.check("another", &theirs, start).is_err());
        assert_eq!(lockout.check("another", &source("198.51.100.1"), start), Ok(()));
    }

    #[test]
    fn unit_wb_01_many_networks_are_held_up_and_the_owner_is_not() {
        let lockout = Lockout::default();
        let (start, home) = (Instant::now(), source("2001:db8::1"));
        lockout.succeeded("ana", &home, start);
        for network in 0..=OF_ACCOUNT.free {
            lockout.failed("ana", &source(&format!("10.0.{network}.1")), start);
        }
        assert!(
            lockout.check("ana", &source("10.1.0.1"), start).is_err(),
            "a network not seen yet"
        );
        assert_eq!(lockout.check("ana", &home, start), Ok(()));
    }

    #[test]
    fn the_table_is_bounded() {
        let lockout = Lockout::default();
        let (start, theirs) = (Instant::now(), source("192.0.2.1"));
        for number in 0..ENTRIES_MAX {
            lockout.failed(&format!("user-{number}"), &theirs, start);
        }
        assert!(lockout.records.lock().expect("no panic").len() <= ENTRIES_MAX);
        assert!(lockout.check("another", &theirs, start).is_err(), "what holds somebody up stays");
    }
}
