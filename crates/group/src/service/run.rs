//! How a command of a group is carried out: load, decide, sign, store, commit.

use pki::enrolment::SecretHash;
use pki::{Certificate, Head, Request, UnixTime};

use super::{Service, signing};
use crate::authority::Authority;
use crate::error::{Error, Result};
use crate::model::{Caller, Command, Context, Decision, Event, GroupId, Order, Refusal, decide};
use crate::store::{self, Locked, Write};

/// Tries of a command whose transaction collides with another one's.
const TRIES: u32 = 5;

/// What comes with a command of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown<'a> {
    /// The token of its user.
    pub token: Option<SecretHash>,
    /// What it wants signed.
    pub request: Option<&'a Request>,
    /// The certificate to renew.
    pub certificate: Option<&'a Certificate>,
}

/// What came of a command.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The group, for what is read afterwards.
    pub group: Option<GroupId>,
    /// What has happened.
    pub events: Vec<Event>,
    /// The certificate that was signed.
    pub certificate: Option<Certificate>,
    /// The number of the notice that was signed.
    pub notice: Option<u64>,
    head: Option<Head>,
}

impl Service {
    /// Runs a command of a person.
    pub(super) async fn run(
        &self,
        caller: &Caller,
        group: &str,
        command: &Command,
        now: UnixTime,
    ) -> Result<Outcome> {
        self.run_showing(caller, group, command, Shown::default(), now).await
    }

    /// Runs a command, and again where another transaction was in its way.
    pub(super) async fn run_showing(
        &self,
        caller: &Caller,
        group: &str,
        command: &Command,
        shown: Shown<'_>,
        now: UnixTime,
    ) -> Result<Outcome> {
        let mut tries = 1;
        loop {
            match self.try_run(caller, group, command, shown, now).await {
                Err(Error::Store(error)) if tries < TRIES && store::is_collision(&error) => {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn try_run(
        &self,
        caller: &Caller,
        group: &str,
        command: &Command,
        shown: Shown<'_>,
        now: UnixTime,
    ) -> Result<Outcome> {
        let store = &self.0.store;
        let mut tx = match is_of_node(command) {
            true => store.begin_together().await?,
            false => store.begin().await?,
        };
        let locked = store::lock_group(&mut tx, group, caller, now).await?;
        let locked = locked.ok_or(Refusal::NotFound("group"))?;
        let mut authority = None;
        if let (Some(certificate), Some(request)) = (shown.certificate, shown.request) {
            let taken_up = self.take_up(&mut tx, locked.facts.id, &locked.facts.name).await?;
            let judged = taken_up.judge_renewal(certificate, request, now);
            authority = Some(taken_up);
            if let Err(refusal) = judged {
                return Err(self.note_refusal(tx, &locked, None, refusal).await);
            }
        }
        let ctx = store::load(&mut tx, &locked, command, shown.token).await?;
        let decision = match decide(&ctx, command, now) {
            Ok(decision) => decision,
            Err(refusal) if is_of_node(command) => {
                return Err(self.note_refusal(tx, &locked, Some(&ctx), refusal).await);
            }
            Err(refusal) => return Err(refusal.into()),
        };
        let Decision { events, orders } = decision;
        for event in &events {
            store::apply(&mut tx, &locked, event).await?;
        }
        let mut outcome = Outcome { group: Some(locked.facts.id), events, ..Outcome::default() };
        if !orders.is_empty() {
            let mut signer = match authority.take() {
                Some(taken_up) => taken_up,
                None => self.take_up(&mut tx, locked.facts.id, &locked.facts.name).await?,
            };
            for order in orders {
                let signed = self.sign(&mut signer, &locked, order, shown, &mut outcome, now)?;
                for event in &signed {
                    store::apply(&mut tx, &locked, event).await?;
                }
                outcome.events.extend(signed);
            }
            authority = Some(signer);
        }
        if let Some(head) = &outcome.head {
            store::chain::set_head(&mut tx, locked.facts.id, head).await?;
        }
        match is_of_node(command) {
            true => store.commit_together(tx).await?,
            false => tx.commit().await.map_err(store::StoreError::from)?,
        }
        if let Some(authority) = authority {
            self.0.authorities.put_back(locked.facts.id, authority);
        }
        if !outcome.events.is_empty() {
            self.announce_change(locked.facts.id, outcome.head.is_some());
        }
        Ok(outcome)
    }

    /// Lets the authority do what the model ordered.
    fn sign(
        &self,
        authority: &mut Authority,
        locked: &Locked,
        order: Order,
        shown: Shown<'_>,
        outcome: &mut Outcome,
        now: UnixTime,
    ) -> Result<Vec<Event>> {
        match order {
            Order::Certify(permit) => {
                let request = shown.request.ok_or(Refusal::IdMismatch)?;
                let identity = request.check_identity(&locked.facts.name, &permit.node.salt);
                identity.map_err(|_| Refusal::IdMismatch)?;
                let (certificate, event) = signing::certify(authority, &permit, request, now)?;
                outcome.certificate = Some(certificate);
                Ok(vec![event])
            }
            Order::Revoke { what, reason, victims } => {
                let signed =
                    self.revoke_with(authority, locked.facts.id, (what, reason, victims), now)?;
                outcome.notice = Some(signed.notice);
                outcome.head = Some(signed.head);
                Ok(signed.events)
            }
        }
    }

    /// A node that is refused leaves a line in the audit log, and nothing else.
    async fn note_refusal(
        &self,
        mut tx: Write,
        locked: &Locked,
        ctx: Option<&Context>,
        refusal: Refusal,
    ) -> Error {
        let token = ctx.and_then(|ctx| ctx.token.as_ref()).map(|token| token.id);
        let event = Event::EnrolmentRefused { code: refusal.code(), token };
        let noted = store::apply(&mut tx, locked, &event).await;
        let noted = match noted {
            Ok(()) => self.0.store.commit_together(tx).await,
            Err(error) => Err(error),
        };
        noted.map_or_else(Error::from, |()| refusal.into())
    }
}

/// Whether it changes nothing but what its node gets: such commands come many at a time, and wait for the disk together.
const fn is_of_node(command: &Command) -> bool {
    matches!(command, Command::NameNode { .. } | Command::Certify { .. } | Command::Renew { .. })
}
