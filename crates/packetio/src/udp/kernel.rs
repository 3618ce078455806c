//! Which kernels announce UDP segmentation offload but get it wrong.

/// Linux 7.0 to 7.1.4 mangles batches of equal segments: first and last version affected.
const MANGLING: ((u32, u32, u32), (u32, u32, u32)) = ((7, 0, 0), (7, 1, 4));

/// Whether the running kernel is not known to do GSO wrong.
pub fn gso_is_sound() -> bool {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .ok()
        .and_then(|release| parse(&release))
        .is_none_or(|version| version < MANGLING.0 || version > MANGLING.1)
}

/// The numbers at the start of a release like `6.18.44-amd64`; a missing third is 0.
fn parse(release: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = release.trim().split('.').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part[..digits].parse().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_up_to_the_distribution_s_suffix() {
        assert_eq!(parse("6.18.44-fc-v657\n"), Some((6, 18, 44)));
        assert_eq!(parse("7.0-rc3"), Some((7, 0, 0)));
        assert_eq!(parse("7.1.4+deb14-amd64"), Some((7, 1, 4)));
        assert_eq!(parse("unknown"), None);
    }
}
