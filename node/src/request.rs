//! `warren request`: the node's key is born here and stays here; a signer gets the request only.

use std::io::Write;
use std::path::{Path, PathBuf};

use pki::{PrivateKey, Request};

use crate::cli::MakeRequest;
use crate::config::STATE_DIR_DEFAULT;
use crate::failure::Failure;
use crate::state::StateDir;

/// Writes a request for the node's key, which is made if there is none.
pub fn run(make: &MakeRequest) -> Result<(), Failure> {
    let path = make.state_dir.clone().unwrap_or_else(|| PathBuf::from(STATE_DIR_DEFAULT));
    let state = StateDir::open(&path)?;
    let key = match state.key()? {
        Some(key) => key,
        None => {
            let key = PrivateKey::generate();
            state.set_key(&key)?;
            key
        }
    };
    let request = Request::new(&key, make.name.as_deref()).map_err(Failure::usage)?;
    write_out(make.out.as_deref(), &request.to_pem())?;
    if let Some(out) = &make.out {
        println!("request written to {}: have it signed with warren ca sign", out.display());
    }
    Ok(())
}

/// Writes a text that is no secret to a file or standard output.
pub fn write_out(path: Option<&Path>, text: &str) -> Result<(), Failure> {
    match path {
        Some(path) => std::fs::write(path, text).map_err(|error| {
            let place = path.display();
            Failure::host(format!(
                "cannot write {place}: {error}: name a file in a directory that this \
                 user can write"
            ))
        }),
        None => {
            // A reader that closed the pipe has what it wanted.
            let _ = std::io::stdout().write_all(text.as_bytes());
            Ok(())
        }
    }
}
