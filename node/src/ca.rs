//! `warren ca`: the authority of a group as a directory, for groups without a group service.
//!
//! | file | what |
//! |---|---|
//! | `ca.pem`, `ca.key` | the authority; the key never leaves the directory |
//! | `network.yaml`, `secrets.yaml` | the group's settings and secrets, which go into blobs |
//! | `issued/<serial>.pem` | every certificate signed; a key seen before keeps its salt and ID |
//! | `notices.txt` | revocations so far, for `warren up --notices` and for blobs |
//!
//! The directory is mode 0700. One salt is drawn per key, so nobody gets a choice of node IDs by asking
//! twice. Revoking starts a new generation of the group secret, which members pass on among themselves: whom
//! the notice names does not even get answers any more, once the older generations have aged out.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pki::{
    Blob, Certificate, CertificateAuthority, GENERATIONS_MAX, GroupSecret, HostPort, LEASE_MAX,
    LEASE_MIN, MTU_MAX, MTU_MIN, Member, Network, NodeId, Refusal, Request, Revoked, SignOptions,
    Trust, UnixTime, yaml,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::cli::{Ca, RevokeWhat};
use crate::clock;
use crate::config::read_text;
use crate::failure::Failure;
use crate::request::write_out;
use crate::state::{StateDir, write_whole};

/// How long the word that no newer notice exists is good: an offline authority speaks seldom.
const HEAD_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs one of the commands.
pub fn run(command: &Ca) -> Result<(), Failure> {
    let now = clock::unix(SystemTime::now());
    match command {
        Ca::Init { dir, group, ipv4, mtu, lease_seconds } => {
            let (mtu, lease_seconds) = (*mtu, *lease_seconds);
            init(dir, Network { mtu, lease_seconds, ..Network::new(group, *ipv4) }, now)
        }
        Ca::Sign { dir, request, user, role, days, ipv4, host, again, out } => {
            let authority = Directory::open(dir, now)?;
            let request = read_request(request)?;
            let user = user.as_deref().or(request.name()).ok_or_else(|| {
                Failure::usage("the request names nobody: say who with --user NAME")
            })?;
            let options = SignOptions {
                roles: *role,
                life: Duration::from_secs(u64::from(*days) * 24 * 3600),
                ipv4: *ipv4,
                host: host.clone(),
                ..SignOptions::new(user)
            };
            if !again {
                authority.check_not_revoked(&request, user)?;
            }
            let certificate = authority.sign(&request, options, now)?;
            write_out(out.as_deref(), &certificate.to_pem())?;
            if let Some(out) = out {
                let member = certificate.unverified().map_err(Failure::identity)?;
                let (user, id, end) = (member.user, member.node_id, member.not_after);
                println!("certificate of {user}, node {id}, until {end}: {}", out.display());
            }
            Ok(())
        }
        Ca::Revoke { dir, what, unknown } => Directory::open(dir, now)?.revoke(what, *unknown, now),
        Ca::Show { dir, json } => show(&Directory::open(dir, now)?, *json, now),
        Ca::Blob { dir, bootstrap, certificate, out } => {
            let enclosed = certificate.as_deref().map(read_certificate).transpose()?;
            let text = Directory::open(dir, now)?.blob(bootstrap.clone(), enclosed)?;
            if bootstrap.is_empty() {
                eprintln!(
                    "warren: the blob names no node to join by: --bootstrap HOST:PORT adds one"
                );
            }
            match out {
                Some(path) => {
                    write_secret(path, &text)?;
                    println!("{} holds the group secret: pass it on as a password", path.display());
                    Ok(())
                }
                None => write_out(None, &text),
            }
        }
    }
}

fn init(dir: &Path, network: Network, now: UnixTime) -> Result<(), Failure> {
    if !(MTU_MIN..=MTU_MAX).contains(&network.mtu) {
        return Err(Failure::usage(format!("--mtu must be {MTU_MIN} to {MTU_MAX} bytes")));
    }
    if !(LEASE_MIN..=LEASE_MAX).contains(&network.lease_seconds) {
        return Err(Failure::usage(format!("--lease-seconds must be {LEASE_MIN} to {LEASE_MAX}")));
    }
    let group = &network.group;
    let authority = CertificateAuthority::create(group, now).map_err(Failure::usage)?;
    // Opening makes the directory, closes it to others and keeps a second `init` out.
    let _locked = StateDir::open(dir)?;
    if dir.join("ca.key").exists() {
        return Err(Failure::usage(format!(
            "{} holds an authority already: use it, or choose another --dir",
            dir.display()
        )));
    }
    let folder = dir.join("issued");
    fs::create_dir_all(&folder).map_err(|error| cannot_write(&folder, &error))?;
    write_yaml(&dir.join("network.yaml"), &network)?;
    write_yaml(&dir.join("secrets.yaml"), &[Secret::new(1, now)])?;
    write_secret(&dir.join("ca.pem"), &authority.certificate().to_pem())?;
    // Last: with it the authority exists.
    write_secret(&dir.join("ca.key"), &authority.key().to_pkcs8_pem())?;
    let (place, ipv4) = (dir.display(), network.ipv4);
    println!(
        "authority of group {group}, network {ipv4}, made in {place}: keep the directory safe"
    );
    Ok(())
}

/// A generation of the group secret in `secrets.yaml`; it is signed where it goes into a blob.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    secret: GroupSecret,
    issued: UnixTime,
}

impl Secret {
    fn new(generation: u32, issued: UnixTime) -> Self {
        Self { secret: GroupSecret::random(generation), issued }
    }
}

/// An authority that was made by `init`, locked for this process.
struct Directory {
    path: PathBuf,
    authority: CertificateAuthority,
    network: Network,
    /// Newest first.
    secrets: Vec<Secret>,
    trust: Trust,
    _locked: StateDir,
}

impl Directory {
    fn open(path: &Path, now: UnixTime) -> Result<Self, Failure> {
        if !path.join("ca.key").exists() {
            return Err(Failure::usage(format!(
                "{} holds no authority: make one with warren ca init --dir DIR --group NAME",
                path.display()
            )));
        }
        let locked = StateDir::open(path)?;
        let read = |name: &str| read_text(&path.join(name));
        let authority = CertificateAuthority::from_pem(&read("ca.pem")?, &read("ca.key")?)
            .map_err(Failure::identity)?;
        let network: Network = yaml::from_str(&read("network.yaml")?).map_err(Failure::identity)?;
        let secrets = yaml::from_str(&read("secrets.yaml")?).map_err(Failure::identity)?;
        let pinned = [authority.certificate().clone()];
        let mut trust = Trust::new(&network.group, &pinned, None).map_err(Failure::identity)?;
        if path.join("notices.txt").exists() {
            let taken = trust.ledger_mut().take_text(&read("notices.txt")?);
            taken.map_err(|error| Failure::identity(format!("notices.txt: {error}")))?;
        }
        let path = path.to_owned();
        let mut opened = Self { path, authority, network, secrets, trust, _locked: locked };
        // A crash may have come between a notice and its secret.
        opened.start_generation(now)?;
        Ok(opened)
    }

    /// Makes the secret of the generation that the newest notice started, if there is none yet.
    fn start_generation(&mut self, now: UnixTime) -> Result<(), Failure> {
        let generation = self.trust.ledger().generation();
        if self.secrets.first().is_some_and(|held| held.secret.generation >= generation) {
            return Ok(());
        }
        self.secrets.insert(0, Secret::new(generation, now));
        self.secrets.truncate(GENERATIONS_MAX);
        write_yaml(&self.path.join("secrets.yaml"), &self.secrets)
    }

    fn sign(
        &self,
        request: &Request,
        mut options: SignOptions,
        now: UnixTime,
    ) -> Result<Certificate, Failure> {
        if let Some(address) = options.ipv4.filter(|address| !self.network.ipv4.is_host(*address)) {
            return Err(Failure::usage(format!(
                "{address} is not an address that a member of {} can have",
                self.network.ipv4
            )));
        }
        let issued = self.issued()?;
        let taken = |member: &&Member| {
            options.ipv4.is_some()
                && member.ipv4 == options.ipv4
                && member.spki != request.spki()
                && self.trust.rejudge(member, now).is_ok()
        };
        if let Some(holder) = issued.iter().find(taken) {
            return Err(Failure::usage(format!(
                "that address is fixed for node {}: choose another, or revoke it first",
                holder.node_id
            )));
        }
        options.salt = issued.iter().find(|m| m.spki == request.spki()).map(|m| m.salt);
        let certificate = self.authority.sign(request, &options, now).map_err(Failure::usage)?;
        let member = certificate.unverified().map_err(Failure::identity)?;
        let path = self.path.join("issued").join(format!("{}.pem", member.serial));
        write_secret(&path, &certificate.to_pem())?;
        Ok(certificate)
    }

    /// Refuses to sign for a key or a user that a notice put out and that nobody has let in again since.
    fn check_not_revoked(&self, request: &Request, user: &str) -> Result<(), Failure> {
        let (issued, ledger) = (self.issued()?, self.trust.ledger());
        let of_key = issued.iter().filter(|member| member.spki == request.spki());
        let latest = of_key.max_by_key(|member| member.issued());
        let by_key = latest.and_then(|member| ledger.is_revoked(member));
        let stands = |member: &Member| member.user == user && ledger.is_revoked(member).is_none();
        let by_name = || {
            let names = Revoked::User(user.to_owned());
            let notice = ledger.notices().rfind(|notice| notice.subject == names)?;
            (!issued.iter().any(stands)).then_some(notice.number)
        };
        match by_key.or_else(by_name) {
            Some(number) => Err(Failure::usage(format!(
                "{user} was revoked by notice {number}: sign with --again to let it in again"
            ))),
            None => Ok(()),
        }
    }

    fn revoke(mut self, what: &RevokeWhat, unknown: bool, now: UnixTime) -> Result<(), Failure> {
        let subject = match what {
            RevokeWhat { serial: Some(serial), .. } => Revoked::Serial(*serial),
            RevokeWhat { node: Some(node), .. } => Revoked::Node(*node),
            RevokeWhat { user: Some(user), .. } => Revoked::User(user.clone()),
            _ => return Err(Failure::usage("say whom: --serial, --node or --user")),
        };
        let is_meant = |member: &Member| match &subject {
            Revoked::Serial(serial) => member.serial == *serial,
            Revoked::Node(node) => member.node_id == *node,
            Revoked::User(user) => member.user == *user,
            Revoked::Issuer(issuer) => member.issuer == *issuer,
        };
        let meant: BTreeSet<NodeId> =
            self.issued()?.iter().filter(|m| is_meant(m)).map(|m| m.node_id).collect();
        if !unknown && meant.is_empty() {
            let whom = match &subject {
                Revoked::Serial(serial) => format!("with serial number {serial}"),
                Revoked::Node(node) => format!("of node {node}"),
                Revoked::User(user) => format!("of {user}"),
                Revoked::Issuer(issuer) => format!("by {issuer}"),
            };
            return Err(Failure::usage(format!(
                "no certificate {whom} was signed here: see warren ca show, or revoke with --unknown"
            )));
        }
        // The notice of a node names it; who else is out only we know.
        let victims: String = match subject {
            Revoked::Node(_) => String::new(),
            _ => meant.iter().map(|node| format!(" --victim {node}")).collect(),
        };
        let ledger = self.trust.ledger_mut();
        let notice = self.authority.revoke(subject, ledger, now).map_err(Failure::identity)?;
        self.authority.head(ledger, now, now + HEAD_LIFE).map_err(Failure::identity)?;
        let path = self.path.join("notices.txt");
        write_secret(&path, &ledger.to_text())?;
        let generation = ledger.generation();
        self.start_generation(now)?;
        let (number, place) = (notice.number, path.display());
        println!("notice {number} written to {place}, group secret {generation} made");
        println!(
            "tell any one member: warren ca blob --dir {} --bootstrap HOST:PORT --out BLOB, then \
             warren notices announce {place} --blob BLOB{victims}",
            self.path.display()
        );
        Ok(())
    }

    fn blob(
        &self,
        bootstrap: Vec<HostPort>,
        certificate: Option<Certificate>,
    ) -> Result<Zeroizing<String>, Failure> {
        let ca = vec![self.authority.certificate().clone()];
        let sign = |held: &Secret| self.authority.sign_secret(held.secret.clone(), held.issued);
        let secrets = self.secrets.iter().map(sign).collect();
        let mut blob = Blob::new(self.network.clone(), ca, bootstrap, secrets);
        blob.certificate = certificate;
        blob.notices = self.trust.ledger().to_text().lines().map(str::to_owned).collect();
        blob.to_yaml().map_err(Failure::usage)
    }

    /// Every certificate that was signed, oldest first.
    fn issued(&self) -> Result<Vec<Member>, Failure> {
        let folder = self.path.join("issued");
        let unreadable =
            |error: io::Error| Failure::host(format!("cannot read {}: {error}", folder.display()));
        let mut members = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                let certificate = read_certificate(&path)?;
                members.push(certificate.unverified().map_err(Failure::identity)?);
            }
        }
        members.sort_by_key(|member| (member.not_before, member.serial));
        Ok(members)
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    group: &'a str,
    ipv4: String,
    mtu: u16,
    lease_seconds: u32,
    authority: String,
    notices: u64,
    issued: Vec<ShownMember>,
}

#[derive(Serialize)]
struct ShownMember {
    serial: String,
    node_id: String,
    user: String,
    roles: String,
    not_after: UnixTime,
    state: String,
}

fn show(authority: &Directory, json: bool, now: UnixTime) -> Result<(), Failure> {
    let issued = authority.issued()?;
    let members = issued.iter().map(|member| ShownMember {
        serial: member.serial.to_string(),
        node_id: member.node_id.to_string(),
        user: member.user.clone(),
        roles: member.roles.to_string(),
        not_after: member.not_after,
        state: match authority.trust.rejudge(member, now) {
            Ok(()) => "valid".into(),
            Err(Refusal::Revoked { notice }) => format!("revoked by notice {notice}"),
            Err(refusal) => refusal.to_string(),
        },
    });
    let shown = Shown {
        group: authority.authority.group(),
        ipv4: authority.network.ipv4.to_string(),
        mtu: authority.network.mtu,
        lease_seconds: authority.network.lease_seconds,
        authority: authority.authority.id().to_string(),
        notices: authority.trust.ledger().number(),
        issued: members.collect(),
    };
    if json {
        let text = serde_json::to_string_pretty(&shown).map_err(Failure::command)?;
        return write_out(None, &(text + "\n"));
    }
    let mut text = format!(
        "group {}  network {}  mtu {}  lease {} s  authority {}  notices {}\n",
        shown.group, shown.ipv4, shown.mtu, shown.lease_seconds, shown.authority, shown.notices
    );
    for member in &shown.issued {
        let ShownMember { serial, node_id, user, roles, not_after, state } = member;
        text += &format!("{serial}  node {node_id}  {user}  {roles}  until {not_after}  {state}\n");
    }
    write_out(None, &text)
}

fn read_request(path: &Path) -> Result<Request, Failure> {
    Request::parse(&read_text(path)?).map_err(|error| {
        let place = path.display();
        Failure::identity(format!("{place}: {error}: name the file that warren request wrote"))
    })
}

/// Reads a certificate file that the user named.
pub fn read_certificate(path: &Path) -> Result<Certificate, Failure> {
    Certificate::from_pem(&read_text(path)?).map_err(|error| {
        let place = path.display();
        Failure::identity(format!("{place}: {error}: name the file that warren ca sign wrote"))
    })
}

fn write_yaml<T: Serialize>(path: &Path, value: &T) -> Result<(), Failure> {
    write_secret(path, &yaml::to_string(value).map_err(Failure::command)?)
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    write_whole(path, text.as_bytes()).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::host(format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::PrivateKey;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn authority(folder: &Path) -> Directory {
        init(folder, Network::new("team", "10.42.0.0/24".parse().unwrap()), NOW).unwrap();
        Directory::open(folder, NOW).unwrap()
    }

    #[test]
    fn unit_wb_15_a_group_is_made_with_no_server() {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(folder.path());
        let request = Request::new(&PrivateKey::generate(), Some("ana")).unwrap();
        let certificate = ca.sign(&request, SignOptions::new("ana"), NOW).unwrap();
        let blob = Blob::parse(&ca.blob(Vec::new(), Some(certificate.clone())).unwrap()).unwrap();
        let member = blob.trust().unwrap().judge(certificate.der(), NOW).unwrap();
        assert_eq!((member.user.as_str(), member.group.as_str()), ("ana", "team"));
    }

    #[test]
    fn a_key_keeps_its_node_id_over_renewals() {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(folder.path());
        let request = Request::new(&PrivateKey::generate(), None).unwrap();
        let sign =
            || ca.sign(&request, SignOptions::new("ana"), NOW).unwrap().unverified().unwrap();
        let (first, second) = (sign(), sign());
        assert_eq!(first.node_id, second.node_id);
        assert_ne!(first.serial, second.serial);
    }

    #[test]
    fn a_fixed_address_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(folder.path());
        let sign = |last| {
            let request = Request::new(&PrivateKey::generate(), None).unwrap();
            let ipv4 = Some([10, 42, 0, last].into());
            ca.sign(&request, SignOptions { ipv4, ..SignOptions::new("ana") }, NOW)
        };
        sign(7).unwrap();
        assert!(sign(7).unwrap_err().to_string().contains("fixed for node"));
        assert!(sign(255).unwrap_err().to_string().contains("10.42.0.0/24"));
    }

    #[test]
    fn a_revoked_user_is_refused_by_whoever_reads_the_notices() {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(folder.path());
        let request = Request::new(&PrivateKey::generate(), None).unwrap();
        let certificate = ca.sign(&request, SignOptions::new("ana"), NOW).unwrap();
        let what = RevokeWhat { serial: None, node: None, user: Some("ana".into()) };
        ca.revoke(&what, false, NOW).unwrap();
        let ca = Directory::open(folder.path(), NOW).unwrap();
        let blob = Blob::parse(&ca.blob(Vec::new(), None).unwrap()).unwrap();
        let judged = blob.trust().unwrap().judge(certificate.der(), NOW);
        assert!(matches!(judged, Err(Refusal::Revoked { notice: 1 })), "{judged:?}");
        let generations: Vec<u32> =
            blob.group_secrets.iter().map(|s| s.secret.generation).collect();
        assert_eq!(generations, [2, 1], "a new one, and the one of members that have not got it");
    }

    #[test]
    fn a_notice_whose_secret_a_crash_prevented_gets_it_with_the_next_command() {
        let folder = tempfile::tempdir().unwrap();
        let ca = authority(folder.path());
        let secrets = folder.path().join("secrets.yaml");
        let before = fs::read(&secrets).unwrap();
        let what = RevokeWhat { serial: None, node: None, user: Some("ana".into()) };
        ca.revoke(&what, true, NOW).unwrap();
        fs::write(&secrets, before).unwrap();
        let generations = || {
            let ca = Directory::open(folder.path(), NOW).unwrap();
            let blob = Blob::parse(&ca.blob(Vec::new(), None).unwrap()).unwrap();
            let all = blob.group_secrets.into_iter();
            all.map(|signed| (signed.secret.generation, signed.secret.key)).collect::<Vec<_>>()
        };
        let made = generations();
        assert_eq!(made.iter().map(|(generation, _)| *generation).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(generations(), made, "once");
    }

    #[test]
    fn a_second_init_keeps_the_first_authority() {
        let folder = tempfile::tempdir().unwrap();
        let id = authority(folder.path()).authority.id();
        let other = Network::new("other", "10.0.0.0/8".parse().unwrap());
        let again = init(folder.path(), other, NOW);
        assert!(again.unwrap_err().to_string().contains("already"));
        assert_eq!(Directory::open(folder.path(), NOW).unwrap().authority.id(), id);
    }
}
