//! Waiting for something to become true without guessing how long it takes.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Pause between two attempts: short beside what tests wait for, long beside a system call.
const INTERVAL: Duration = Duration::from_millis(50);

/// Repeats `attempt` until it succeeds, and fails with its last error after `timeout`.
///
/// It is tried at least once.
pub fn eventually<T>(timeout: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < timeout => thread::sleep(INTERVAL),
            result => return result.with_context(|| format!("gave up after {timeout:?}")),
        }
    }
}

/// Measures until one run takes less than `limit`, and at most three times: what the program itself waits for is late
/// each time, what a busy machine holds up is not.
pub fn once_within(limit: Duration, mut measure: impl FnMut() -> Result<Duration>) -> Result<()> {
    let mut late = Vec::new();
    for _ in 0..3 {
        let took = measure()?;
        println!("took {took:?}, of {limit:?} at most");
        if took < limit {
            return Ok(());
        }
        late.push(took);
    }
    bail!("not once within {limit:?}: {late:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{anyhow, ensure};

    #[test]
    fn unit_lab_what_is_late_each_time_is_refused_and_once_in_time_is_enough() {
        let second = Duration::from_secs(1);
        let mut times = [3, 2, 0].map(|n| second * n).into_iter();
        assert!(once_within(second, || Ok(times.next().expect("three tries"))).is_ok());
        assert!(once_within(second, || Ok(second)).is_err());
        assert!(once_within(second, || Err(anyhow!("it did not work"))).is_err());
    }

    #[test]
    fn unit_lab_eventually_returns_the_first_success() {
        let mut attempts = 0;
        let value = eventually(Duration::from_secs(10), || {
            attempts += 1;
            ensure!(attempts == 3, "not yet");
            Ok(attempts)
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn unit_lab_eventually_tells_the_last_error() {
        let error = eventually(Duration::ZERO, || Err::<(), _>(anyhow!("no answer"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "gave up after 0ns: no answer");
    }
}
