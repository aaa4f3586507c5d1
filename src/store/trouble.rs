//! What keeps a data directory from being used although nothing in it is wrong: told apart, so that a person reads what to do
//! and a worker knows that waiting helps.

use std::io;

use super::StoreError;
use super::sql;

/// What the surroundings deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No space left, or the quota is used up.
    Full,
    /// The file system takes no writes.
    ReadOnly,
    /// This user may not.
    Denied,
    /// Another process keeps the database locked.
    Busy,
    /// The database server does not answer.
    Away,
}

impl Trouble {
    const ALL: [Self; 5] = [
        Self::Full,
        Self::ReadOnly,
        Self::Denied,
        Self::Busy,
        Self::Away,
    ];

    /// Of an error of a file.
    pub(crate) fn of_file(error: &io::Error) -> Option<Self> {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Some(Self::Full),
            io::ErrorKind::ReadOnlyFilesystem => Some(Self::ReadOnly),
            io::ErrorKind::PermissionDenied => Some(Self::Denied),
            _ => None,
        }
    }

    /// Of an error of the store.
    pub(crate) fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::File { source, .. } => Self::of_file(source),
            StoreError::Database(error) => Self::of_database(error),
            StoreError::Busy(_) => Some(Self::Busy),
            StoreError::NoAnswer(_) => Some(Self::Away),
            _ => None,
        }
    }

    /// Of what a driver says. PostgreSQL's codes have five letters; of SQLite's numbers the low byte is the kind, and the
    /// rest says more.
    pub(super) fn of_database(error: &sql::Error) -> Option<Self> {
        const SHARED_MEMORY_SIZE: i32 = 10 | (19 << 8);
        const WRITE: i32 = 10 | (3 << 8);
        let error = match error {
            sql::Error::Database(error) => error,
            sql::Error::Io(_)
            | sql::Error::PoolTimedOut
            | sql::Error::PoolClosed
            | sql::Error::WorkerCrashed => return Some(Self::Away),
            _ => return None,
        };
        let code = error.code()?;
        if code.len() == 5 {
            return match &*code {
                // Shutting down, starting, no more connections, thrown out while idle in a transaction.
                "57P01" | "57P02" | "57P03" | "53300" | "25P03" => Some(Self::Away),
                code if code.starts_with("08") => Some(Self::Away),
                // Lock timeout, statement timeout, deadlock, serialization failure.
                "55P03" | "57014" | "40P01" | "40001" => Some(Self::Busy),
                "53100" => Some(Self::Full),
                _ => None,
            };
        }
        let code: i32 = code.parse().ok()?;
        match (code, code & 0xff) {
            (SHARED_MEMORY_SIZE | WRITE, _) | (_, 13) => Some(Self::Full),
            (_, 8) => Some(Self::ReadOnly),
            (_, 3) => Some(Self::Denied),
            (_, 5 | 6) => Some(Self::Busy),
            _ => None,
        }
    }

    /// Its code in an answer of the API.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Full => "disk_full",
            Self::ReadOnly => "read_only",
            Self::Denied => "permission_denied",
            Self::Busy => "database_locked",
            Self::Away => "database_away",
        }
    }

    /// From that code.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.code() == code)
    }

    /// What is the matter, for people.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Full => {
                "there is no space left on the disk of the data directory; free some space and run the command again"
            }
            Self::ReadOnly => "the data directory cannot be written to",
            Self::Denied => "this user may not use the data directory",
            Self::Busy => "another process has kept the database locked for more than 10 s",
            Self::Away => "the same request may succeed when it is back",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_leads_back_to_its_trouble() {
        for trouble in Trouble::ALL {
            assert_eq!(Trouble::of_code(trouble.code()), Some(trouble));
        }
        assert_eq!(Trouble::of_code("HTTP-500"), None);
    }
}
