//! No file names a place that only one machine has, or the host of a package registry.
//!
//! Paths below home directories do not exist elsewhere. Registries are a choice of whoever builds:
//! images, packages and mirrors come from the tools' own configuration.

use super::Finding;
use super::source::Source;

/// Beginnings of paths that belong to one machine.
const PLACES: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];

/// Written in two halves, so that this file does not name them either.
const REGISTRIES: [(&str, &str); 12] = [
    ("docker", ".io"),
    ("ghcr", ".io"),
    ("quay", ".io"),
    ("gcr", ".io"),
    ("registry.k8s", ".io"),
    ("mcr.microsoft", ".com"),
    ("public.ecr", ".aws"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("pypi", ".org"),
    ("registry.npmjs", ".org"),
    ("proxy.golang", ".org"),
];

/// Files that tools write and that name registries for their own use.
const GENERATED: [&str; 1] = ["Cargo.lock"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if GENERATED.iter().any(|name| source.path.ends_with(name)) || source.path == file!() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for place in PLACES.iter().filter(|place| has_path(line, place)) {
            let message = format!("{place}: name the file relative to the repository");
            findings.push(source.finding(index + 1, message));
        }
        for (name, end) in REGISTRIES {
            let host = format!("{name}{end}");
            if has_host(line, &host) {
                let message = format!("{host}: leave the registry to the tool's configuration");
                findings.push(source.finding(index + 1, message));
            }
        }
    }
    findings
}

/// Whether a path begins with `place` here, rather than that it is the middle of one.
fn has_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(start, _)| !continues_name(&line[..start]))
}

fn has_host(line: &str, host: &str) -> bool {
    line.match_indices(host).any(|(start, _)| {
        let after = line[start + host.len()..].chars().next();
        let goes_on = after.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
        !goes_on && !line[..start].ends_with(|c: char| c.is_alphanumeric() || c == '-')
    })
}

fn continues_name(before: &str) -> bool {
    before.ends_with(|c: char| c.is_alphanumeric() || "._-)}*$~]".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source { path: "docs/a.md".to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn unit_tidy_paths_of_one_machine_are_found() {
        assert_eq!(findings("cd /home/alice/warren"), 1);
        assert_eq!(findings("see docs/home/index.md or https://warren.dev/work/1"), 0);
        assert_eq!(findings("open /dev/net/tun and /etc/warren"), 0);
    }

    #[test]
    fn unit_tidy_registry_hosts_are_found() {
        for (name, end) in REGISTRIES {
            assert_eq!(findings(&format!("FROM {name}{end}/library/debian")), 1);
        }
        assert_eq!(findings("FROM debian:bookworm"), 0);
    }
}
