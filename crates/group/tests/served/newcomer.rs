//! A machine that enrols, as `warren up` would.

use pki::enrolment::{CertificateRequest, Grant, KeyAnswer, KeyRequest, Message};
use pki::{PrivateKey, Request};

use crate::client::{Answer, Client};
use crate::server::Server;

/// A node before it has a certificate.
pub struct Newcomer {
    pub client: Client,
    pub key: PrivateKey,
    /// What it calls itself.
    pub host: &'static str,
}

impl Newcomer {
    /// A node with the token of a blob.
    pub fn new(server: &Server, token: &str) -> Self {
        let mut client = server.client();
        client.bearer = Some(token.to_owned());
        Self { client, key: PrivateKey::generate(), host: "laptop" }
    }

    /// Sends a message.
    pub fn post(&mut self, place: &str, message: &impl Message) -> Answer {
        let body = String::from_utf8(message.to_json().to_vec()).expect("is text");
        self.client.send("POST", place, "application/json", &body)
    }

    /// Asks for the ID of its key.
    pub fn name(&mut self) -> Answer {
        let asked = KeyRequest::new(&self.key, Some(self.host));
        self.post("/enrol/v1/key", &asked)
    }

    /// Asks for a certificate.
    pub fn certify(&mut self, group: &str, named: &KeyAnswer) -> Answer {
        let request = Request::for_node(&self.key, group, named.node_id).expect("writes");
        self.post("/enrol/v1/certificate", &CertificateRequest { request })
    }

    /// Gets a certificate.
    pub fn enrol(&mut self, group: &str) -> Grant {
        let named = KeyAnswer::from_json(self.name().expect(200).body.as_bytes()).expect("a name");
        assert!(named.is_for(self.key.spki()) && named.group == group);
        let answer = self.certify(group, &named).expect(200);
        Grant::from_json(answer.body.as_bytes()).expect("a grant")
    }
}
