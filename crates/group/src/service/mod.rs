//! The one door to the group service.
//!
//! How it works: a command of a group starts a transaction, locks the group's row, loads what the
//! command may know, lets the model decide and the authority sign, writes events and changes, and
//! commits. What is returned is on disk.
//!
//! What must hold: the authority in memory never runs ahead of the store. It is taken out of the
//! cache for a command, and is put back when that was committed; whatever fails in between, the
//! next command reads it from the store again.
//!
//! | file | question |
//! |---|---|
//! | `run` | how is a command carried out |
//! | `signing` | how is the authority taken up, and what does it sign |
//! | `rotation` | how does a group go from one authority to the next |
//! | `account` | who is who |
//! | `group` | which groups are there |
//! | `joining` | who belongs to one |
//! | `token` | who gets which blob |
//! | `node` | who gets which certificate |
//! | `revocation` | who is out, and who knows it |
//! | `clock` | what is due |
//! | `check` | is what is stored consistent |

mod account;
mod check;
mod clock;
mod detail;
mod group;
mod joining;
mod node;
mod revocation;
pub mod rotation;
mod run;
mod signing;
mod token;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, RwLock};

use pki::enrolment::Pin;
use tokio::sync::broadcast;
use zeroize::Zeroizing;

pub use account::NewUser;
pub use clock::TickReport;
pub use group::NewGroup;
pub use node::CertificateAnswer;
pub use revocation::{Announcement, Notices};
pub use token::BlobForm;

use crate::config::{Config, Whoever};
use crate::error::{Error, Result};
use crate::model::{Actor, Caller, GroupId, Person, Refusal};
use crate::password::Passwords;
use crate::seal::MasterKey;
use crate::store::{self, Store};
use signing::Authorities;

/// Changes that a slow listener may miss before it is told to look for itself.
const CHANGES_KEPT: usize = 1024;

/// A group has changed: what long polls wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub group: GroupId,
    /// Whether its chain of notices has grown or has a new head.
    pub notices: bool,
}

/// The group service. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    master: MasterKey,
    passwords: Passwords,
    authorities: Authorities,
    changes: broadcast::Sender<Changed>,
    pins: RwLock<Vec<Pin>>,
    config: Config,
}

impl Service {
    /// Opens database and master key. A new database gets a new master key; an old one is served
    /// with its own key only.
    pub async fn open(config: Config) -> Result<Self> {
        let path = config.master_key();
        make_private(&config.state_dir)?;
        let store = Store::open(&config.database()).await?;
        let known = store::apply_site::master_key_check(&store).await?;
        let master = match (&known, path.exists()) {
            (_, true) => MasterKey::load(&path)?,
            (None, false) => MasterKey::create(&path)?,
            (Some(_), false) => return Err(Error::OtherMasterKey),
        };
        // Another replica may have been faster: what is stored counts.
        let stored = match known {
            Some(check) => check,
            None => store::apply_site::set_up_site(&store, &master.check()).await?,
        };
        if stored != master.check() {
            return Err(Error::OtherMasterKey);
        }
        Ok(Self(Arc::new(Inner {
            store,
            master,
            passwords: Passwords::new(),
            authorities: Authorities::default(),
            changes: broadcast::channel(CHANGES_KEPT).0,
            pins: RwLock::default(),
            config,
        })))
    }

    /// Returns the settings.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the store, for tables that are not the model's (sessions).
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Derives a key for one use; all replicas have the same one.
    pub fn derive_key(&self, label: &str) -> Zeroizing<[u8; 32]> {
        self.0.master.derive(label)
    }

    /// Tells which keys the server has: blobs name them from now on.
    pub fn set_pins(&self, pins: Vec<Pin>) {
        *self.0.pins.write().expect("nothing panics while it holds the lock") = pins;
    }

    /// Listens to the changes that this process makes, of all groups.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.0.changes.subscribe()
    }

    /// Waits until everything is closed.
    pub async fn close(&self) {
        self.0.store.close().await;
    }

    /// The keys of the server that blobs name, the one in use first; none where the roots of the web verify it.
    pub fn pins(&self) -> Vec<Pin> {
        self.0.pins.read().expect("nothing panics while it holds the lock").clone()
    }

    fn announce_change(&self, group: GroupId, notices: bool) {
        // Nobody listening is no error.
        let _ = self.0.changes.send(Changed { group, notices });
    }

    /// Finds the asker with the relation to a group, for reading.
    async fn asker(
        &self,
        db: &mut store::Connection,
        caller: &Caller,
        group: GroupId,
    ) -> Result<Option<Person>> {
        let Actor::User(user) = caller.actor else { return Ok(None) };
        let person = store::load::person(db, group, user).await?.ok_or(Refusal::NotMember)?;
        if person.enabled { Ok(Some(person)) } else { Err(Refusal::AccountDisabled.into()) }
    }

    /// Checks that a member reads, or who has the machine.
    async fn member_reads(
        &self,
        db: &mut store::Connection,
        caller: &Caller,
        group: GroupId,
    ) -> Result<()> {
        self.reads(db, caller, group, Person::is_member, Refusal::NotMember).await
    }

    /// Checks that an administrator reads, or who has the machine.
    async fn administrator_reads(
        &self,
        db: &mut store::Connection,
        caller: &Caller,
        group: GroupId,
    ) -> Result<()> {
        self.reads(db, caller, group, Person::is_administrator, Refusal::NotAdministrator).await
    }

    async fn reads(
        &self,
        db: &mut store::Connection,
        caller: &Caller,
        group: GroupId,
        may: impl FnOnce(&Person) -> bool,
        otherwise: Refusal,
    ) -> Result<()> {
        match self.asker(db, caller, group).await? {
            None if caller.actor == Actor::Operator => Ok(()),
            Some(person) if may(&person) => Ok(()),
            _ => Err(otherwise.into()),
        }
    }

    /// Checks that the site allows somebody a thing that may be kept to its administrators.
    fn site_allows(whoever: Whoever, trusted: bool) -> Result<()> {
        match whoever {
            Whoever::Everybody => Ok(()),
            Whoever::SiteAdministrators if trusted => Ok(()),
            Whoever::SiteAdministrators => Err(Refusal::NotSiteAdministrator.into()),
        }
    }
}

/// Makes the state directory, open to nobody else; one that is there stays as it is.
fn make_private(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::StateDir { path: folder.display().to_string(), error })
}

/// Finds a group for reading.
async fn find(db: &mut store::Connection, group: &str) -> Result<store::chain::Settings> {
    let settings = store::chain::settings(db, group).await?;
    Ok(settings.ok_or(Refusal::NotFound("group"))?)
}
