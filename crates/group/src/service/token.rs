//! Blobs and the tokens in them.

use pki::enrolment::{SecretHash, Token};
use pki::{Blob, Enrolment, Invitation, UnixTime};
use zeroize::Zeroizing;

use super::{Service, find};
use crate::error::Result;
use crate::model::{Actor, Caller, Command, Event, Refusal, TokenId, TokenOptions, UserId};
use crate::store::{self, Page, Paged, StoreError};
use crate::view::TokenView;

/// What a blob has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BlobForm {
    /// Address, pins and token: the rest comes with the certificate.
    #[default]
    Short,
    /// Network, authorities, bootstrap nodes and group secret as well.
    Full,
}

impl Service {
    /// Draws a token and writes the blob around it, for a member: the YAML is shown once.
    pub async fn draw_blob(
        &self,
        caller: &Caller,
        group: &str,
        options: TokenOptions,
        form: BlobForm,
        now: UnixTime,
    ) -> Result<(TokenId, Zeroizing<String>)> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        let person = self.asker(&mut db, caller, settings.id).await?;
        let person = person.ok_or(Refusal::NotMember)?;
        crate::model::may_have_blob(&person)?;
        let secrets = self.open_secrets(&mut db, &settings, now).await?;
        let stored = store::chain::authorities(&mut db, settings.id).await?;
        drop(db);
        let (id, enrolment) = self.draw_enrolment(caller, group, options, now).await?;
        let text = match form {
            BlobForm::Short => Invitation::new(group, enrolment).to_yaml()?,
            BlobForm::Full => {
                let ca = stored.into_iter().map(|authority| authority.certificate).collect();
                let bootstrap = settings.policies.bootstrap.clone();
                let mut blob = Blob::new(settings.network(), ca, bootstrap, secrets);
                blob.enrolment = Some(enrolment);
                blob.to_yaml()?
            }
        };
        Ok((id, text))
    }

    /// Draws a token and writes the invitation around it, for a member or for somebody whose request
    /// waits: it holds no secret of the group, and its token enrols once the request is granted.
    pub async fn invite(
        &self,
        caller: &Caller,
        group: &str,
        options: TokenOptions,
        now: UnixTime,
    ) -> Result<(TokenId, Zeroizing<String>)> {
        let (id, enrolment) = self.draw_enrolment(caller, group, options, now).await?;
        Ok((id, Invitation::new(group, enrolment).to_yaml()?))
    }

    async fn draw_enrolment(
        &self,
        caller: &Caller,
        group: &str,
        options: TokenOptions,
        now: UnixTime,
    ) -> Result<(TokenId, Enrolment)> {
        let (id, token) = self.draw_token(caller, group, options, now).await?;
        Ok((id, Enrolment { url: self.config().url.clone(), pins: self.pins(), token }))
    }

    /// Draws a token for a member, or for somebody whose request waits.
    pub async fn draw_token(
        &self,
        caller: &Caller,
        group: &str,
        options: TokenOptions,
        now: UnixTime,
    ) -> Result<(TokenId, Token)> {
        let token = Token::random();
        let command = Command::DrawToken { hash: token.hash(), options };
        let done = self.run(caller, group, &command, now).await?;
        let drawn = done.events.iter().find_map(|event| match event {
            Event::TokenDrawn { token, .. } => Some(*token),
            _ => None,
        });
        Ok((drawn.ok_or(StoreError::Corrupt("token"))?, token))
    }

    /// Ends a token. Nodes that it has enrolled stay.
    pub async fn end_token(
        &self,
        caller: &Caller,
        group: &str,
        token: TokenId,
        now: UnixTime,
    ) -> Result<()> {
        self.run(caller, group, &Command::EndToken { token }, now).await.map(drop)
    }

    /// Lists tokens, the newest first: one's own, or as administrator those of another or of all.
    pub async fn tokens(
        &self,
        caller: &Caller,
        group: &str,
        of: Option<UserId>,
        page: &Page,
    ) -> Result<Paged<TokenView>> {
        let mut db = self.0.store.read().await?;
        let settings = find(&mut db, group).await?;
        if of.is_none_or(|user| caller.actor != Actor::User(user)) {
            self.administrator_reads(&mut db, caller, settings.id).await?;
        }
        Ok(store::read::tokens(&mut db, settings.id, of, page).await?)
    }

    /// Finds the group of a token, whatever became of the token.
    pub(super) async fn group_of(&self, hash: SecretHash) -> Result<Option<String>> {
        let mut db = self.0.store.read().await?;
        Ok(store::load::group_of_token(&mut db, hash).await?)
    }
}
