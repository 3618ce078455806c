//! The member certificate: what must be in it and what we read out of it.
//!
//! X.509 v3 leaf, P-256 or Ed25519. Subject: CN = user, OU = group, nothing else. Exactly one
//! subject alternative name, the URI `warren://<group>/<node id>`. Key usage digitalSignature;
//! extended usage TLS server and client, since either end may be either. Roles and salt in an
//! [extension](crate::extension) of ours. A 16-byte random serial. The authority key identifier
//! names the issuing key. Reading is strict: one certificate has one meaning, and what the profile
//! does not know it refuses.

use std::net::Ipv4Addr;
use std::time::Duration;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::Oid;
use x509_parser::x509::AttributeTypeAndValue;

use crate::certificate::CERTIFICATE_LEN_MAX;
use crate::extension::{EXTENSION_OID, MemberExtension, Roles};
use crate::id::{IssuerId, NodeId, Salt, Serial};
use crate::key::Algorithm;
use crate::name::{check_group, check_user};
use crate::refusal::Refusal;
use crate::unix_time::UnixTime;

/// How far notBefore lies before the issue, so that members with slow clocks accept each other.
pub const BACKDATE: Duration = Duration::from_secs(3600);

/// Starts the subject alternative name of a member.
pub(crate) const URI_SCHEME: &str = "warren://";

/// What a member certificate says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Address on the group's ring.
    pub node_id: NodeId,
    /// Who answers for the node.
    pub user: String,
    /// The group.
    pub group: String,
    /// What the node may do.
    pub roles: Roles,
    /// Serial of the certificate.
    pub serial: Serial,
    /// The authority that signed.
    pub issuer: IssuerId,
    /// Start of validity, an hour before the issue.
    pub not_before: UnixTime,
    /// End of validity; for a judged member no later than that of the authority.
    pub not_after: UnixTime,
    /// What the authority drew for this key.
    pub salt: Salt,
    /// Virtual address fixed by the authority.
    pub ipv4: Option<Ipv4Addr>,
    /// Host name fixed by the authority.
    pub host: Option<String>,
    /// The key, as DER SubjectPublicKeyInfo.
    pub spki: Vec<u8>,
}

impl Member {
    /// Returns when the certificate was issued.
    pub fn issued(&self) -> UnixTime {
        self.not_before + BACKDATE
    }

    /// Returns the subject alternative name.
    pub fn uri(&self) -> String {
        uri(&self.group, &self.node_id)
    }
}

/// Writes the parameters of a member certificate; the inverse of [`read`].
pub(crate) fn to_params(member: &Member) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.not_before = member.not_before.to_calendar();
    params.not_after = member.not_after.to_calendar();
    params.serial_number = Some(SerialNumber::from_slice(member.serial.as_bytes()));
    params.distinguished_name = subject(&member.group, &member.user);
    params.subject_alt_names = vec![SanType::URI(member.uri().try_into()?)];
    params.is_ca = IsCa::NoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let extension = MemberExtension {
        roles: member.roles,
        salt: member.salt,
        ipv4: member.ipv4,
        host: member.host.clone(),
    };
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&EXTENSION_OID, extension.encode())];
    Ok(params)
}

/// Reads a member certificate without asking who signed it.
pub(crate) fn read(der: &[u8]) -> Result<Member, Refusal> {
    let x509 = parse_x509(der)?;
    check_usage(&x509)?;
    let (user, group) = read_subject(&x509)?;
    let extension = read_extension(&x509)?;
    let spki = x509.public_key().raw;
    Algorithm::of_spki(spki).ok_or(Refusal::Malformed("key is neither P-256 nor Ed25519"))?;
    let serial = x509.raw_serial().try_into().map_err(|_| Refusal::Malformed("serial"))?;
    let node_id = read_uri(&x509, &group)?;
    Ok(Member {
        node_id,
        user,
        group,
        roles: extension.roles,
        serial: Serial::from_bytes(serial),
        issuer: read_issuer(&x509)?,
        not_before: UnixTime::from_asn1(x509.validity().not_before.timestamp()),
        not_after: UnixTime::from_asn1(x509.validity().not_after.timestamp()),
        salt: extension.salt,
        ipv4: extension.ipv4,
        host: extension.host,
        spki: spki.to_vec(),
    })
}

/// Parses exactly one X.509 certificate of bounded size.
pub(crate) fn parse_x509(der: &[u8]) -> Result<X509Certificate<'_>, Refusal> {
    if der.is_empty() {
        return Err(Refusal::NoCertificate);
    }
    if der.len() > CERTIFICATE_LEN_MAX {
        return Err(Refusal::Malformed("too long"));
    }
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], x509)) => Ok(x509),
        Ok(_) => Err(Refusal::Malformed("bytes behind the certificate")),
        Err(_) => Err(Refusal::Malformed("not X.509")),
    }
}

/// Returns a name attribute when there is exactly one of its kind.
pub(crate) fn only_text<'a>(
    mut attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>,
) -> Option<&'a str> {
    let text = attributes.next()?.as_str().ok()?;
    attributes.next().is_none().then_some(text)
}

/// Reads which key signed, from the authority key identifier.
pub(crate) fn read_issuer(x509: &X509Certificate<'_>) -> Result<IssuerId, Refusal> {
    let mut identifiers =
        x509.iter_extensions().filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => Some(found),
            _ => None,
        });
    let found = identifiers.next().and_then(|found| found.key_identifier.as_ref());
    match (found.and_then(|id| id.0.try_into().ok()), identifiers.next()) {
        (Some(bytes), None) => Ok(IssuerId::from_bytes(bytes)),
        _ => Err(Refusal::Malformed("authority key identifier")),
    }
}

/// Writes a subject in the one order we use.
pub(crate) fn subject(group: &str, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationalUnitName, group);
    name.push(DnType::CommonName, common_name);
    name
}

fn check_usage(x509: &X509Certificate<'_>) -> Result<(), Refusal> {
    let key_usage = x509.key_usage().ok().flatten();
    let signs = key_usage.is_some_and(|usage| {
        usage.value.digital_signature() && !usage.value.key_cert_sign() && !usage.value.crl_sign()
    });
    let extended = x509.extended_key_usage().ok().flatten();
    let both = extended.is_some_and(|usage| usage.value.server_auth && usage.value.client_auth);
    (signs && both && !x509.is_ca()).then_some(()).ok_or(Refusal::Malformed("key usage"))
}

fn read_subject(x509: &X509Certificate<'_>) -> Result<(String, String), Refusal> {
    const MALFORMED: Refusal = Refusal::Malformed("subject is not one user in one group");
    let name = x509.subject();
    let user = only_text(name.iter_common_name()).ok_or(MALFORMED)?;
    let group = only_text(name.iter_organizational_unit()).ok_or(MALFORMED)?;
    if name.iter_attributes().count() != 2 {
        return Err(MALFORMED);
    }
    check_user(user)?;
    check_group(group)?;
    Ok((user.to_owned(), group.to_owned()))
}

fn read_uri(x509: &X509Certificate<'_>, group: &str) -> Result<NodeId, Refusal> {
    const MALFORMED: Refusal = Refusal::Malformed("alternative name is not one warren URI");
    let names = x509.subject_alternative_name().ok().flatten().ok_or(MALFORMED)?;
    let [GeneralName::URI(text)] = names.value.general_names[..] else { return Err(MALFORMED) };
    let (named_group, id) = parse_uri(text).ok_or(MALFORMED)?;
    if named_group != group {
        return Err(Refusal::WrongGroup);
    }
    Ok(id)
}

/// Reads group and node ID from a name of ours; the inverse of [`uri`].
pub(crate) fn parse_uri(text: &str) -> Option<(&str, NodeId)> {
    let (group, id) = text.strip_prefix(URI_SCHEME)?.split_once('/')?;
    check_group(group).ok()?;
    let id: NodeId = id.parse().ok()?;
    // Upper-case digits would be a second spelling of the same identity.
    (uri(group, &id) == text).then_some((group, id))
}

fn read_extension(x509: &X509Certificate<'_>) -> Result<MemberExtension, Refusal> {
    const MALFORMED: Refusal = Refusal::Malformed("warren extension");
    let oid = Oid::from(&EXTENSION_OID).map_err(|_| MALFORMED)?;
    let found = x509.get_extension_unique(&oid).ok().flatten().ok_or(MALFORMED)?;
    MemberExtension::decode(found.value).ok_or(MALFORMED)
}

/// Writes the subject alternative name of a node.
pub(crate) fn uri(group: &str, id: &NodeId) -> String {
    format!("{URI_SCHEME}{group}/{id}")
}
