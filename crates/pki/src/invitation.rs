//! The short form of the blob: where to ask, and nothing that could be asked for.
//!
//! ```yaml
//! version: 1
//! group: team
//! enrolment: { url: "https://…", pins: [ "sha256:…" ], token: wt1_… }
//! ```
//!
//! Authorities, network, bootstrap nodes and group secret come with the certificate. So the file
//! stays true when these change, and whoever finds it holds a token that can be ended, not the
//! group secret.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::blob::{Blob, BlobError, Enrolment, Version};
use crate::name::check_group;
use crate::yaml::{self, YamlError};

/// A way into a group, by its service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    version: Version,
    /// Name of the group.
    #[serde(deserialize_with = "read_group")]
    pub group: String,
    /// How to get the rest.
    pub enrolment: Enrolment,
}

impl Invitation {
    /// An invitation into this group.
    pub fn new(group: impl Into<String>, enrolment: Enrolment) -> Self {
        Self { version: Version, group: group.into(), enrolment }
    }

    /// Writes the invitation with its token; the text wipes itself.
    pub fn to_yaml(&self) -> Result<Zeroizing<String>, YamlError> {
        yaml::to_string(self)
    }
}

/// The file that a user is handed: either form of it.
#[derive(Clone, Debug)]
pub enum Handed {
    /// Everything is in it.
    Blob(Box<Blob>),
    /// The rest has to be asked for.
    Invitation(Invitation),
}

impl Handed {
    /// Reads either form; what has a `group` of its own is an invitation.
    pub fn parse(text: &str) -> Result<Self, BlobError> {
        #[derive(Deserialize)]
        struct Form {
            group: Option<IgnoredAny>,
        }
        match yaml::from_str(text)? {
            Form { group: Some(_) } => Ok(Self::Invitation(yaml::from_str(text)?)),
            Form { group: None } => Blob::parse(text).map(Box::new).map(Self::Blob),
        }
    }

    /// Returns the name of the group.
    pub fn group(&self) -> &str {
        match self {
            Self::Blob(blob) => &blob.network.group,
            Self::Invitation(invitation) => &invitation.group,
        }
    }

    /// Returns how to get a certificate, where the file says it.
    pub fn enrolment(&self) -> Option<&Enrolment> {
        match self {
            Self::Blob(blob) => blob.enrolment.as_ref(),
            Self::Invitation(invitation) => Some(&invitation.enrolment),
        }
    }
}

fn read_group<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let group = String::deserialize(deserializer)?;
    check_group(&group).map_err(serde::de::Error::custom)?;
    Ok(group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrolment::{Pin, Token};
    use crate::testing::{NOW, authority};
    use crate::{GroupSecret, Ipv4Subnet, Network};

    fn enrolment() -> Enrolment {
        Enrolment {
            url: "https://vpn.example.org:8443/warren".parse().expect("an address"),
            pins: vec![Pin::of_spki(b"key")],
            token: Token::random(),
        }
    }

    #[test]
    fn unit_wb_07_a_blob_carries_a_key_of_256_bits_that_is_its_own() {
        let (one, other) = (enrolment(), enrolment());
        let text = Invitation::new("team", one.clone()).to_yaml().expect("writes");
        let read = Handed::parse(&text).expect("own output");
        let token = &read.enrolment().expect("is there").token;
        assert!(*token == one.token && *token != other.token);
        assert_eq!(token.hash().as_bytes().len() * 8, 256);
        assert_eq!(token.expose().len(), "wt1_".len() + 43, "256 bits in base64url");
    }

    #[test]
    fn both_forms_are_read_and_keep_where_to_ask() {
        let subnet: Ipv4Subnet = "10.42.0.0/16".parse().expect("a network");
        let authority = authority("team");
        let ca = vec![authority.certificate().clone()];
        let secrets = vec![authority.sign_secret(GroupSecret::random(1), NOW)];
        let mut blob = Blob::new(Network::new("team", subnet), ca, Vec::new(), secrets);
        blob.enrolment = Some(enrolment());
        let long = Handed::parse(&blob.to_yaml().expect("writes")).expect("own output");
        let invitation = Invitation::new("team", enrolment());
        let short = Handed::parse(&invitation.to_yaml().expect("writes")).expect("own output");
        for handed in [&long, &short] {
            assert_eq!(handed.group(), "team");
            let asked = handed.enrolment().expect("is there");
            assert_eq!(asked.url.to_string(), "https://vpn.example.org:8443/warren");
            assert_eq!(asked.pins, [Pin::of_spki(b"key")]);
        }
        assert!(matches!(long, Handed::Blob(_)) && matches!(short, Handed::Invitation(_)));
    }

    #[test]
    fn mistakes_are_named_and_tokens_are_not_shown() {
        let invitation = Invitation::new("team", enrolment());
        let text = invitation.to_yaml().expect("writes");
        let token = invitation.enrolment.token.expose();
        assert!(text.contains(&*token) && !format!("{invitation:?}").contains(&token[4..12]));
        let mistakes = [
            ("https://", "http://", "http is not spoken"),
            ("sha256:", "sha1:", "sha256:"),
            ("group: team", "group: Team", "a-z"),
            ("pins:", "pin:", "pin"),
            (&token, &token[..40], "wt1_"),
        ];
        for (right, wrong, says) in mistakes {
            let error = Handed::parse(&text.replacen(right, wrong, 1)).expect_err(wrong);
            let error = error.to_string();
            assert!(error.contains(says), "{wrong}: {error}");
            assert!(!error.contains(&token[4..12]), "{error}");
        }
    }
}
