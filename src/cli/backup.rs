//! `backup`: the data directory in one file, also while a server works in it.

use std::path::PathBuf;

use super::exit::{Advised, Exit};
use super::{Session, print};
use crate::store::backup::BackupError;

/// Copy the data directory into one file, also while a server works in it
///
/// The file is a tar archive of the database, the key ring, module code, the states of environments and kept keys. To
/// go on from it, unpack it into an empty directory: tar -xf FILE -C DIR, then --data-dir DIR.
#[derive(Debug, clap::Args)]
pub(crate) struct Backup {
    /// The new file; whoever reads it can read what the key ring protects
    file: PathBuf,
}

impl Backup {
    /// Copies.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let store = &session.local().await?.store;
        match store.backup(&self.file).await {
            Ok(bytes) => {
                let file = self.file.display();
                print::success(format!("Backup `{file}` written ({} KiB).", bytes / 1024));
                print::note(format!(
                    "To go on from it: tar -xf {file} -C DIR, then windlass --data-dir DIR …"
                ));
                Ok(Exit::OK)
            }
            Err(error @ BackupError::Postgres(_)) => Err(Advised::new(
                error.to_string(),
                [
                    "the database: pg_dump --format=custom --file=FILE DATABASE".to_owned(),
                    format!(
                        "beside it, from `{}`: the key ring, without which the dump cannot be read, and `state`",
                        session.settings.data_dir.display()
                    ),
                ],
            )
            .into()),
            Err(error) => Err(error.into()),
        }
    }
}
