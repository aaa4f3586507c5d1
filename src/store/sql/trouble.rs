//! Kinds of errors that callers answer differently.

use super::Error;

/// What is the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server is not there, is going down, or has no place for us.
    Away,
    /// Somebody else held what was needed for too long.
    Busy,
    /// A mistake of the program, of a setting or of the disk.
    Other,
}

impl Trouble {
    /// Tells them apart by what the drivers say.
    pub(crate) fn of(error: &Error) -> Self {
        let code = match error {
            Error::Io(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => {
                return Self::Away;
            }
            Error::Database(said) => said.code().unwrap_or_default(),
            _ => return Self::Other,
        };
        match &*code {
            // PostgreSQL: shutting down, starting, no more connections, thrown out while idle in a transaction.
            "57P01" | "57P02" | "57P03" | "53300" | "25P03" => Self::Away,
            code if code.len() == 5 && code.starts_with("08") => Self::Away,
            // PostgreSQL: lock timeout, statement timeout, deadlock, serialization failure.
            "55P03" | "57014" | "40P01" | "40001" => Self::Busy,
            // SQLite: SQLITE_BUSY and its variants.
            "5" | "261" | "517" | "773" => Self::Busy,
            _ => Self::Other,
        }
    }
}
