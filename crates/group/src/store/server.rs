//! Why PostgreSQL does not let us in: one connection is tried before the pool, which keeps trying and
//! forgets the reason.

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};

use super::{PATIENCE, StoreError};

/// Connects once.
pub(super) async fn check(url: &str) -> Result<(), StoreError> {
    let options: PgConnectOptions = url.parse()?;
    let why = match tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => return Ok(connection.close().await?),
        Ok(Err(error)) => explain(&error, &options),
        Err(_) => format!(
            "no answer within {} s: is that the right address, and does a firewall let it through?",
            PATIENCE.as_secs()
        ),
    };
    Err(StoreError::Server { at: place(&options), why })
}

/// Host and port, or the socket that stands for them.
fn place(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => format!("{}/.s.PGSQL.{}", folder.display(), options.get_port()),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// What the error is, and what to do. The password is in no error of the library.
fn explain(error: &Error, options: &PgConnectOptions) -> String {
    let user = options.get_username();
    let name = options.get_database().unwrap_or(user);
    let Error::Database(refusal) = error else {
        return format!("{error}: is it running, and is `database` its right address?");
    };
    let said = refusal.message();
    // Codes of PostgreSQL, appendix A of its manual.
    match refusal.code().as_deref() {
        Some("28P01" | "28000") => {
            format!("{said}: check user and password in `database`, and pg_hba.conf")
        }
        Some("3D000") => format!("{said}: make it (createdb -O {user} {name})"),
        Some("53300") => format!("{said}: raise max_connections, or run fewer replicas"),
        Some("57P03") => format!("{said}: try again when it has started"),
        _ => said.to_owned(),
    }
}
