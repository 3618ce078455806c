//! Accounts from the command line. A password comes by standard input, or is drawn and shown once;
//! never by an argument, which other users of the machine could read.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, Result, anyhow};
use pki::UnixTime;
use zeroize::Zeroizing;

use crate::model::{Caller, UserId};
use crate::service::{NewUser, Service};

/// Letters and digits that nobody mistakes for each other.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters of a drawn password: 100 bits.
const DRAWN_LEN: usize = 20;

/// Makes an account, by default with a drawn password, which is returned to be shown.
pub async fn create(
    service: &Service,
    name: String,
    email: Option<String>,
    from_stdin: bool,
    now: UnixTime,
) -> Result<Option<Zeroizing<String>>> {
    let (password, shown) = if from_stdin {
        (read_password()?, None)
    } else {
        let drawn = draw();
        (drawn.clone(), Some(drawn))
    };
    let new = NewUser::Password { name, email, password };
    service.create_user(&Caller::operator(), new, now).await?;
    Ok(shown)
}

/// Makes somebody an administrator of the site, or no longer.
pub async fn promote(service: &Service, name: &str, demote: bool, now: UnixTime) -> Result<()> {
    let user = find(service, name).await?;
    Ok(service.set_site_admin(&Caller::operator(), user, !demote, now).await?)
}

/// Sets a password, by default a drawn one, which is returned to be shown.
pub async fn set_password(
    service: &Service,
    name: &str,
    from_stdin: bool,
    now: UnixTime,
) -> Result<Option<Zeroizing<String>>> {
    let user = find(service, name).await?;
    let (password, shown) = if from_stdin {
        (read_password()?, None)
    } else {
        let drawn = draw();
        (drawn.clone(), Some(drawn))
    };
    service.set_password(&Caller::operator(), user, password, now).await?;
    Ok(shown)
}

async fn find(service: &Service, name: &str) -> Result<UserId> {
    let user = service.user_named(name).await?;
    Ok(user.ok_or_else(|| anyhow!("there is no user {name}: admin create-user makes one"))?.id)
}

fn read_password() -> Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        eprintln!("password, then Enter (it is shown as you type):");
    }
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn draw() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; DRAWN_LEN]);
    aws_lc_rs::rand::fill(&mut *bytes).expect("the system generator cannot fail once it is seeded");
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    Zeroizing::new(bytes.iter().map(letter).collect())
}
