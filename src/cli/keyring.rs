//! `keyring`: the keys that stored secrets and states are encrypted under, on the host that has them.

use super::exit::Exit;
use super::{Session, local, print};
use crate::store::keyring;

/// What can be done with the key ring.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Keyring {
    /// Make a new key, encrypt everything again under it, and remove the old one
    ///
    /// Stop the server first; runs go on meanwhile. When it is interrupted or killed, run it again: it goes on where it
    /// was, and until then everything can be read.
    Rotate,
}

impl Keyring {
    /// Does it.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        let Self::Rotate = self;
        let settings = &session.settings;
        if let Some(url) = &settings.url {
            return Err(super::exit::Advised::new(
                format!("the key ring of {url} lies on its own host, and is rotated there"),
                ["on that host: WINDLASS_URL=local windlass keyring rotate --data-dir DIR"],
            )
            .into());
        }
        let done = keyring::rotate(&local::store_config(settings)).await?;
        let again = match done.is_continued {
            true => " An earlier rotation was carried on.",
            false => "",
        };
        print::success(format!(
            "The key ring has a new key, and {} stored values are encrypted under it.{again}",
            done.values
        ));
        if done.is_shared {
            print::note(
                "Other servers of this database have copies of the ring: give each the new file before it is started.",
            );
        }
        print::note("Copies of the old ring are still needed for backups that were made before.");
        Ok(Exit::OK)
    }
}
