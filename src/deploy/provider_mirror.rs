//! The provider mirror for runs on other hosts: they fetch packages from this server, by the engines' own protocol.
//!
//! A run gets an address with a ticket in it, which opens the packages of the mirror, for reading, for a day. Why
//! not a token of the run or of a person: the engine sends tokens with its questions and not with its downloads, and any
//! module can read what the engine is given. And why not open to everybody: what a company has in its mirror may be its
//! own. The ticket is a moment that only the key ring of the server could have sealed, so nothing of it is stored and every
//! server of a database knows it.

use std::path::PathBuf;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::Service;
use crate::runner::job::NetworkMirror;
use crate::sources::mirror::Mirror;
use crate::store::clock;

/// Where a server answers; below its public address.
pub(crate) const PATH: &str = "/provider-mirror";
/// For the key ring: what is sealed.
const PLACE: &str = "provider-mirror";
/// How long a ticket lasts, in microseconds.
const LASTS_US: i64 = 24 * 3600 * 1_000_000;

/// A mirror that is served.
#[derive(Debug, Clone)]
pub(crate) struct ServedMirror {
    /// Where it lies.
    pub(crate) root: PathBuf,
    /// Under which URL this server is reached; engines speak to no mirror without TLS.
    pub(crate) public_url: String,
}

impl Service {
    /// What a run on another host is told; `None` where nothing is served.
    pub(super) fn network_mirror(&self) -> Option<NetworkMirror> {
        let served = self.settings.mirror.as_ref()?;
        let mut providers: Vec<String> = Mirror::at(&served.root)
            .packages()
            .iter()
            .map(|package| package.wanted.provider.to_string())
            .collect();
        providers.dedup();
        (!providers.is_empty()).then(|| NetworkMirror {
            url: self.mirror_url(&served.public_url),
            providers,
        })
    }

    /// The address of the mirror at a server of this installation, with a ticket for a day.
    pub(crate) fn mirror_url(&self, public_url: &str) -> String {
        let ticket = self.ticket(clock::now_us());
        format!("{}{PATH}/{ticket}/", public_url.trim_end_matches('/'))
    }

    /// The mirror, for who has a ticket that holds.
    pub(crate) fn mirror_for(&self, ticket: &str) -> Option<Mirror> {
        let served = self.settings.mirror.as_ref()?;
        self.holds(ticket, clock::now_us())
            .then(|| Mirror::at(&served.root))
    }

    fn ticket(&self, now_us: i64) -> String {
        let over = (now_us + LASTS_US).to_be_bytes();
        BASE64_URL_SAFE_NO_PAD.encode(self.store.seal(PLACE, &over))
    }

    fn holds(&self, ticket: &str, now_us: i64) -> bool {
        let over = BASE64_URL_SAFE_NO_PAD
            .decode(ticket)
            .ok()
            .and_then(|sealed| self.store.unseal("ticket", PLACE, &sealed).ok())
            .and_then(|plain| plain.try_into().ok())
            .map(i64::from_be_bytes);
        over.is_some_and(|over| now_us < over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Home, On};

    #[tokio::test]
    async fn a_ticket_holds_for_a_day_and_only_as_it_was_made() {
        let home = Home::new(On::Sqlite).await;
        let service = Service::new(home.open().await, super::super::Settings::default());
        let ticket = service.ticket(1000);
        assert!(service.holds(&ticket, 1000 + LASTS_US - 1));
        assert!(!service.holds(&ticket, 1000 + LASTS_US));
        for wrong in ["", "x", &ticket[1..], &format!("{ticket}AA")] {
            assert!(!service.holds(wrong, 1000), "{wrong}");
        }
        let elsewhere = service.store.seal("another", &i64::MAX.to_be_bytes());
        assert!(!service.holds(&BASE64_URL_SAFE_NO_PAD.encode(elsewhere), 1000));
        assert!(service.mirror_for(&ticket).is_none(), "nothing is served");
    }
}
