//! Where the blob comes from: a file, standard input, the environment, or the state directory, where
//! `warren join` left it.

use std::io::Read;
use std::path::{Path, PathBuf};

use pki::Handed;
use zeroize::Zeroizing;

use crate::cli::Start;
use crate::config::read_text;
use crate::failure::Failure;
use crate::state::BLOB;

/// The name of a blob file that means standard input.
const STDIN: &str = "-";
/// Longest blob that is read: that of the YAML reader, and one byte that tells that there is more.
const BLOB_LEN_MAX: u64 = pki::yaml::YAML_LEN_MAX as u64 + 1;

/// A place where a blob can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or standard input.
    File(PathBuf),
    /// A variable of the environment; others see it less easily than arguments, but it stays there.
    Environment(String),
}

impl Source {
    /// What the command line says.
    pub fn named(start: &Start) -> Result<Option<Self>, Failure> {
        match (&start.blob, &start.blob_env) {
            (Some(_), Some(_)) => {
                Err(Failure::usage("both --blob and --blob-env are given: leave one of them out"))
            }
            (Some(path), None) => Ok(Some(Self::File(path.clone()))),
            (None, Some(name)) => Ok(Some(Self::Environment(name.clone()))),
            (None, None) => Ok(None),
        }
    }

    /// What an earlier `warren join` left.
    pub fn kept(state_dir: &Path) -> Option<Self> {
        let path = state_dir.join(BLOB);
        path.exists().then_some(Self::File(path))
    }

    /// The file that can be read again later.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) if path.as_os_str() != STDIN => Some(path),
            Self::File(_) | Self::Environment(_) => None,
        }
    }

    /// Reads either form of the blob.
    pub fn read(&self) -> Result<Handed, Failure> {
        let (place, text) = match self {
            Self::File(path) if path.as_os_str() == STDIN => {
                ("standard input".to_owned(), read_stdin()?)
            }
            Self::File(path) => (path.display().to_string(), read_text(path)?),
            Self::Environment(name) => {
                let text = std::env::var(name).map_err(|error| {
                    Failure::usage(format!("{name}: {error}: put the blob's text into it"))
                })?;
                (name.clone(), Zeroizing::new(text))
            }
        };
        Handed::parse(&text).map_err(|error| {
            Failure::identity(format!("{place}: {error}: ask for the group's file again"))
        })
    }
}

fn read_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(BLOB_LEN_MAX).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
    Ok(text)
}
