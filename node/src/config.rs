//! The daemon's configuration: one struct, read and checked completely before anything is opened.
//!
//! ```yaml
//! blob_file: blob.yaml          # what the user was handed, in either form; relative to this file
//! # blob: { … }                 # or the same, written here
//! # invitation: { … }           # or its short form, written here
//! state_dir: /var/lib/warren
//! listen: "[::]:7415"
//! device: warren0
//! metrics: 127.0.0.1:9415       # or "off"
//! ephemeral: false
//! # psk_file: home.psk          # in the place of a blob: a group by a pre-shared key, and
//! # network: { group: home, ipv4: 10.42.0.0/24 }   # its network, the same for all its nodes
//! # public:                     # take part in the public overlay besides
//! #   bootstrap: [boot.example.net:7415]
//! ```
//!
//! Unknown keys are errors. Flags of the command line win over the file.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pki::{Blob, Enrolment, Handed, HostPort, Invitation, Ipv4Subnet, Network, StalePolicy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::cli::{LogFormat, Overrides, Start};
use crate::failure::Failure;
use crate::handed::Source;

/// Where the state is kept if nothing else is said.
pub const STATE_DIR_DEFAULT: &str = "/var/lib/warren";
/// Name of the local API's socket in the state directory.
const SOCKET_NAME: &str = "warren.sock";
/// The UDP port of Warren.
pub const PORT_DEFAULT: u16 = 7415;
/// The TCP port of metrics.
const METRICS_PORT_DEFAULT: u16 = 9415;

/// Settings of one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// File with the blob of the group; relative to the configuration file.
    pub blob_file: Option<PathBuf>,
    /// The blob itself, in the place of `blob_file`.
    pub blob: Option<Blob>,
    /// The short form of the blob, in the place of `blob_file`: the rest is asked for.
    pub invitation: Option<Invitation>,
    /// File with the key of a group that has no authority, in the place of a blob; relative to the configuration
    /// file.
    pub psk_file: Option<PathBuf>,
    /// The virtual network of such a group: the same for all its nodes.
    pub network: Option<Network>,
    /// Directory for key, certificate, lease and known peers.
    pub state_dir: PathBuf,
    /// UDP address and port of the node; port 0 takes any.
    #[serde(deserialize_with = "listen")]
    pub listen: SocketAddr,
    /// Name of the TUN device.
    pub device: String,
    /// Address of `/metrics`, `/healthz` and `/readyz`, or `off`.
    pub metrics: MetricsAddress,
    /// Unix socket of the local API; `warren.sock` in the state directory if not given.
    pub socket: Option<PathBuf>,
    /// Whether the virtual address is given back on exit.
    pub ephemeral: bool,
    /// Fixed virtual IPv4 address in the place of any free one.
    pub address: Option<Ipv4Addr>,
    /// File of revocation notices, one a line; read at start and on SIGHUP.
    pub notices: Option<PathBuf>,
    /// What to do while the signed list of revocations is out of date; what the group says if not given.
    pub stale_policy: Option<StalePolicy>,
    /// Further nodes to join by, beside those in the blob.
    pub bootstrap: Vec<HostPort>,
    /// The public overlay, if the node takes part in it; without a blob it is the only one.
    pub public: Option<PublicOverlay>,
    /// What is logged, e.g. `info` or `warren=debug,warn`.
    pub log: String,
    /// Form of the log.
    pub log_format: LogFormat,
}

/// The public overlay.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublicOverlay {
    /// Nodes to join by; a node without any waits for others.
    pub bootstrap: Vec<HostPort>,
}

/// Whether the node has a virtual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A member with a TUN device.
    Member,
    /// No device, no privileges: with a blob a member of the group's overlay only, else a node of the public one.
    Bootstrap,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            blob_file: None,
            blob: None,
            invitation: None,
            psk_file: None,
            network: None,
            state_dir: STATE_DIR_DEFAULT.into(),
            listen: (Ipv6Addr::UNSPECIFIED, PORT_DEFAULT).into(),
            device: "warren0".into(),
            metrics: MetricsAddress(Some((Ipv4Addr::LOCALHOST, METRICS_PORT_DEFAULT).into())),
            socket: None,
            ephemeral: false,
            address: None,
            notices: None,
            stale_policy: None,
            bootstrap: Vec::new(),
            public: None,
            log: "info".into(),
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Reads file, blob and flags.
    pub fn load(start: &Start, role: Role) -> Result<Self, Failure> {
        let mut config = match &start.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        config.apply(&start.overrides);
        config.take_blob(Source::named(start)?)?;
        let has_blob = config.blob.is_some() || config.invitation.is_some();
        if config.psk_file.is_some() || config.network.is_some() {
            config.check_pre_shared(has_blob)?;
        } else if role == Role::Bootstrap && !has_blob {
            config.become_public()?;
        } else {
            config.check()?;
            config.check_policy()?;
        }
        Ok(config)
    }

    /// The socket of the local API.
    pub fn socket(&self) -> PathBuf {
        socket_path(self.socket.as_deref(), &self.state_dir)
    }

    /// The blob, complete. Before the service has answered there may be only an invitation.
    pub fn blob(&self) -> Result<&Blob, Failure> {
        self.blob.as_ref().ok_or_else(Self::no_blob)
    }

    /// The virtual network, by whatever way the node is in its group.
    pub fn network(&self) -> Result<&Network, Failure> {
        match &self.network {
            Some(network) => Ok(network),
            None => self.blob().map(|blob| &blob.network),
        }
    }

    /// The name of the group.
    pub fn group(&self) -> Result<&str, Failure> {
        match (&self.blob, &self.invitation) {
            (Some(blob), _) => Ok(&blob.network.group),
            (None, Some(invitation)) => Ok(&invitation.group),
            (None, None) => Err(Self::no_blob()),
        }
    }

    /// How to get a certificate, if the blob says it.
    pub fn enrolment(&self) -> Option<&Enrolment> {
        let invited = self.invitation.as_ref().map(|invitation| &invitation.enrolment);
        invited.or(self.blob.as_ref().and_then(|blob| blob.enrolment.as_ref()))
    }

    /// Takes the blob as the service completed it.
    pub fn complete(&mut self, blob: Blob) -> Result<(), Failure> {
        self.blob = Some(blob);
        self.check()
    }

    /// What the user reads who gave no blob where one is needed.
    pub fn no_blob() -> Failure {
        Failure::usage(
            "no blob: give the group's file with --blob FILE, or a configuration that names it with \
             --config FILE, or get one with warren join URL GROUP (a group by a pre-shared key needs \
             psk_file and network in the configuration)",
        )
    }

    /// Without a blob there is only the public overlay, and nothing to set that belongs to a group.
    fn become_public(&mut self) -> Result<(), Failure> {
        if self.notices.is_some() || self.address.is_some() || self.ephemeral {
            return Err(Self::no_blob());
        }
        let nodes = std::mem::take(&mut self.bootstrap);
        self.public.get_or_insert_default().bootstrap.extend(nodes);
        Ok(())
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let text = read_text(path)?;
        let mut config: Self = pki::yaml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let files = [&mut config.blob_file, &mut config.psk_file, &mut config.notices];
        for file in files.into_iter().flatten() {
            *file = folder.join(&*file);
        }
        Ok(config)
    }

    fn apply(&mut self, flags: &Overrides) {
        fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
            if let Some(value) = flag {
                *field = value.clone();
            }
        }
        set(&mut self.state_dir, &flags.state_dir);
        set(&mut self.listen, &flags.listen);
        set(&mut self.device, &flags.device);
        set(&mut self.metrics, &flags.metrics);
        set(&mut self.log, &flags.log);
        set(&mut self.log_format, &flags.log_format);
        self.socket = flags.socket.clone().or(self.socket.take());
        self.address = flags.address.or(self.address);
        self.notices = flags.notices.clone().or(self.notices.take());
        self.ephemeral |= flags.ephemeral;
        self.bootstrap.extend(flags.bootstrap.iter().cloned());
    }

    /// Reads the blob from where the command line, the file or an earlier `warren join` say it is.
    fn take_blob(&mut self, named: Option<Source>) -> Result<(), Failure> {
        let written = usize::from(self.blob.is_some()) + usize::from(self.invitation.is_some());
        if written + usize::from(self.blob_file.is_some()) > 1 {
            return Err(Failure::usage(
                "more than one of blob, blob_file and invitation is set: leave one of them",
            ));
        }
        let source = match named {
            None if written > 0 => return Ok(()),
            Some(source) => Some(source),
            None => self.blob_file.clone().map(Source::File),
        };
        let Some(source) = source.or_else(|| Source::kept(&self.state_dir)) else { return Ok(()) };
        (self.blob, self.invitation) = match source.read()? {
            Handed::Blob(blob) => (Some(*blob), None),
            Handed::Invitation(invitation) => (None, Some(invitation)),
        };
        self.blob_file = source.file().map(Path::to_owned);
        Ok(())
    }

    /// Only a group service signs the list of revocations anew before it is out of date.
    fn check_policy(&self) -> Result<(), Failure> {
        if self.stale_policy == Some(StalePolicy::Strict) && self.enrolment().is_none() {
            return Err(Failure::usage(
                "stale_policy strict needs a group service, which signs the list of revocations \
                 anew all the time; this blob names none, so nobody would be let in: remove \
                 stale_policy from the configuration",
            ));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Failure> {
        let Some(blob) = &self.blob else { return self.group().map(drop) };
        blob.trust().and_then(|trust| blob.keyring(&trust)).map_err(Failure::identity)?;
        self.check_address(blob.network.ipv4)
    }

    /// A group by a pre-shared key has a network and a key, and nothing that an authority would have to sign.
    fn check_pre_shared(&self, has_blob: bool) -> Result<(), Failure> {
        let (Some(_), Some(network)) = (&self.psk_file, &self.network) else {
            return Err(Failure::usage(
                "psk_file and network belong together: a group by a pre-shared key needs both, and \
                 a group with a blob has its network from that",
            ));
        };
        if has_blob {
            return Err(Failure::usage(
                "a group has a blob or a pre-shared key, not both: remove psk_file and network from \
                 the configuration, or leave the blob out (if warren join left it in the state \
                 directory, name another --state-dir)",
            ));
        }
        if self.notices.is_some() || self.stale_policy.is_some() {
            return Err(Failure::usage(
                "a group by a pre-shared key has no authority, so there are no revocations: remove \
                 notices and stale_policy; to put somebody out, change the key",
            ));
        }
        self.check_address(network.ipv4)
    }

    fn check_address(&self, subnet: Ipv4Subnet) -> Result<(), Failure> {
        match self.address {
            Some(address) if !subnet.is_host(address) => Err(Failure::usage(format!(
                "address {address} is not one that a member of {subnet} can have: choose another \
                 within that network"
            ))),
            _ => Ok(()),
        }
    }
}

/// The socket that a daemon with these settings listens on.
pub fn socket_path(socket: Option<&Path>, state_dir: &Path) -> PathBuf {
    socket.map_or_else(|| state_dir.join(SOCKET_NAME), Path::to_owned)
}

/// Reads a text file that the user named.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, Failure> {
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "name a file that is there",
            std::io::ErrorKind::PermissionDenied => "run as its owner, or let this user read it",
            _ => "name another file",
        };
        let message = format!("cannot read {}: {error}: {hint}", path.display());
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Failure::host(message),
            _ => Failure::usage(message),
        }
    })
}

/// An address to listen on; its errors show how one looks.
pub fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "listen is an address with a port, such as [::]:7415 or 0.0.0.0:7415")
}

fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    // A port alone is a number in YAML.
    let text = match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    parse_listen(&text).map_err(serde::de::Error::custom)
}

/// Where metrics are served, if they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsAddress(pub Option<SocketAddr>);

impl FromStr for MetricsAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            _ => text.parse().map(|addr| Self(Some(addr))).map_err(|_| "expected IP:PORT or off"),
        }
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("off"),
        }
    }
}

impl Serialize for MetricsAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MetricsAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use pki::{CertificateAuthority, GroupSecret, Network, UnixTime};

    fn blob() -> String {
        let authority = CertificateAuthority::create("team", UnixTime(1_800_000_000)).unwrap();
        let network = Network::new("team", "10.42.0.0/24".parse().unwrap());
        let ca = vec![authority.certificate().clone()];
        let secrets = vec![authority.sign_secret(GroupSecret::random(1), UnixTime(1_800_000_000))];
        let blob = Blob::new(network, ca, Vec::new(), secrets);
        blob.to_yaml().unwrap().to_string()
    }

    fn load(yaml: &str, overrides: Overrides) -> Result<Config, Failure> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("blob.yaml"), blob()).unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, yaml).unwrap();
        Config::load(&Start { config: Some(path), overrides, ..Start::default() }, Role::Member)
    }

    #[test]
    fn a_file_with_only_the_blob_has_defaults() {
        let config = load("blob_file: blob.yaml", Overrides::default()).unwrap();
        assert_eq!(config.listen, "[::]:7415".parse().unwrap());
        assert_eq!(config.socket(), Path::new("/var/lib/warren/warren.sock"));
        assert_eq!(config.blob().unwrap().network.group, "team");
    }

    #[test]
    fn flags_win_over_the_file() {
        let overrides = Overrides {
            listen: Some("127.0.0.1:1".parse().unwrap()),
            metrics: Some("off".parse().unwrap()),
            ..Overrides::default()
        };
        let text = "{blob_file: blob.yaml, listen: '0.0.0.0:2', device: vpn1}";
        let config = load(text, overrides).unwrap();
        assert_eq!(config.listen, "127.0.0.1:1".parse().unwrap());
        assert_eq!((config.metrics.0, config.device.as_str()), (None, "vpn1"));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let failure = load("blob_file: blob.yaml\nlisen: x", Overrides::default()).unwrap_err();
        assert_eq!(failure.kind(), Kind::Usage);
        assert!(failure.to_string().contains("lisen"), "{failure}");
        assert!(failure.to_string().contains("line 2"), "{failure}");
    }

    #[test]
    fn a_port_alone_is_no_address_to_listen_on() {
        let failure = load("blob_file: blob.yaml\nlisten: 7500", Overrides::default()).unwrap_err();
        assert!(failure.to_string().contains("such as [::]:7415"), "{failure}");
    }

    #[test]
    fn a_missing_blob_says_how_to_give_one() {
        let failure = load("device: vpn1", Overrides::default()).unwrap_err();
        assert!(failure.to_string().contains("--blob"), "{failure}");
    }

    #[test]
    fn without_a_blob_a_bootstrap_node_is_public_unless_something_is_set_for_a_group() {
        let boot = |address| {
            let bootstrap = vec!["boot.example.net:7415".parse().unwrap()];
            let overrides = Overrides { bootstrap, address, ..Overrides::default() };
            Config::load(&Start { overrides, ..Start::default() }, Role::Bootstrap)
        };
        let config = boot(None).unwrap();
        assert_eq!(config.public.unwrap().bootstrap.len(), 1);
        let failure = boot(Some(Ipv4Addr::new(10, 42, 0, 7))).unwrap_err();
        assert!(failure.to_string().contains("--blob"), "{failure}");
    }

    #[test]
    fn an_address_outside_the_network_is_refused() {
        let text = "{blob_file: blob.yaml, address: 10.43.0.7}";
        let failure = load(text, Overrides::default()).unwrap_err();
        assert!(failure.to_string().contains("10.42.0.0/24"), "{failure}");
    }

    #[test]
    fn unit_se_04_a_group_by_a_pre_shared_key_needs_a_network_and_no_blob() {
        let alone = "psk_file: home.psk";
        let network = "network: {group: home, ipv4: 10.42.0.0/24}";
        let both = format!("{alone}\n{network}\n");
        let config = load(&both, Overrides::default()).unwrap();
        assert_eq!(config.network().unwrap().group, "home");
        assert!(config.psk_file.unwrap().is_absolute(), "relative to the file");
        for (text, says) in [
            (alone, "belong together"),
            (network, "belong together"),
            (&format!("{both}blob_file: blob.yaml"), "not both"),
            (&format!("{both}notices: notices.txt"), "no revocations"),
            (&format!("{both}stale_policy: strict"), "no revocations"),
            (&format!("{both}address: 10.43.0.7"), "10.42.0.0/24"),
            (&format!("{both}psk: wpsk1_secret"), "unknown field"),
            (&both.replace("ipv4", "ipv5"), "unknown field"),
        ] {
            let failure = load(text, Overrides::default()).unwrap_err();
            assert_eq!(failure.kind(), Kind::Usage);
            assert!(failure.to_string().contains(says), "{text}: {failure}");
            assert!(!failure.to_string().contains("wpsk1"), "{failure}");
        }
    }

    #[test]
    fn the_written_form_of_the_defaults_can_be_read() {
        let text = pki::yaml::to_string(&Config::default()).unwrap();
        pki::yaml::from_str::<Config>(&text).unwrap();
    }
}
