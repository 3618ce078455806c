//! Memory of a process, from `/proc/PID/smaps_rollup`.

use anyhow::{Context, Result};

/// What a process holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident pages, those of the program file that other processes share included.
    pub resident: u64,
    /// Resident pages, each divided by the number of processes that share it.
    pub proportional: u64,
    /// Heap, stacks and other pages that no file holds.
    pub anonymous: u64,
}

impl Memory {
    /// Of the process with this id.
    pub fn of(pid: u32) -> Result<Memory> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Memory::parse(&text).with_context(|| format!("{path} is not as expected"))
    }

    fn parse(text: &str) -> Option<Memory> {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kilobytes * 1024)
        };
        Some(Memory {
            resident: field("Rss:")?,
            proportional: field("Pss:")?,
            anonymous: field("Anonymous:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_bench_memory_is_read_from_the_rollup() {
        let text = "55d-7ff ---p 0 00:00 0 [rollup]\nRss:            9876 kB\nPss:    1234 kB\n\
                    Pss_Dirty: 7 kB\nAnonymous:       1000 kB\n";
        let expected =
            Memory { resident: 9876 << 10, proportional: 1234 << 10, anonymous: 1000 << 10 };
        assert_eq!(Memory::parse(text), Some(expected));
        assert_eq!(Memory::parse("Rss: 1 kB"), None);
    }
}
