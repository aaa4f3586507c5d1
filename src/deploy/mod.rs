//! The use cases: accept, queue, follow, cancel, roll back, destroy. The only room that sees the whole flow.
//!
//! Start at [`Service`]; [`compile`] is the compiler as one pure function, [`accept`] what happens between a request
//! and a queued deployment, [`queue`] what happens after it. Never launches anything, never opens what is sealed
//! for people, never speaks HTTP.
//!
//! Why a deployment is compiled twice: it is checked when it is accepted, so that whoever asks is told at once; and
//! it is compiled again when it is claimed, with the catalogue of acceptance, the request's operations and the state
//! that is the last one by then, so that of two queued changes both are kept.

mod accept;
pub(crate) mod agents;
mod carry;
mod catalogue;
pub(crate) mod compile;
mod deletion;
mod difference;
pub(crate) mod door;
mod elsewhere;
mod error;
mod explain;
pub(crate) mod hosted;
mod moving;
mod offer;
mod plan;
pub(crate) mod provider_mirror;
pub(crate) mod queue;
mod read;
mod request;
mod requirements;
mod runners;
mod settle;
mod show;
mod source;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "tests make directories of module code"
)]
mod tests;
pub(crate) mod worker;

pub(crate) use self::accept::Created;
pub(crate) use self::compile::graph_message;
pub(crate) use self::deletion::Delete;
pub(crate) use self::error::Error;
pub(crate) use self::read::Filter;
pub(crate) use self::settle::Settle;
use crate::runner::job::Deadlines;
use crate::store::deployments::{leases, rows};
use crate::store::{Store, StoreError, Watch};
use crate::wire::runners::Shortcuts;

/// Settings of the use cases.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether the reserved runner `local` may serve.
    pub(crate) allow_local: bool,
    /// Whether runners of type `process` may serve, the reserved one among them.
    pub(crate) allow_process: bool,
    /// Whether `init` may download what the mirror lacks.
    pub(crate) allow_downloads: bool,
    /// What runs may save themselves; a runner may forbid more.
    pub(crate) shortcuts: Shortcuts,
    /// How long the phases of a run may take.
    pub(crate) deadlines: Deadlines,
    /// How long fetching one git source may take.
    pub(crate) git_timeout: std::time::Duration,
    /// How long a server that is not heard of keeps what it claimed and did not start; only where several share a
    /// database.
    pub(crate) lease: std::time::Duration,
    /// The provider mirror that is served to runs on other hosts.
    pub(crate) mirror: Option<provider_mirror::ServedMirror>,
    /// How long a deployment waits for the agents of its runner when none is heard of.
    pub(crate) agent_patience: std::time::Duration,
    /// Where runs reach the states that this server keeps, without a trailing `/`; `None` where nothing serves them.
    pub(crate) state_url: Option<String>,
    /// How many versions of a state are kept.
    pub(crate) state_versions: u32,
    /// Seal nothing: only for the control run of the tests.
    pub(crate) unsealed: bool,
}

/// Versions of a state that are kept if nobody says otherwise.
pub(crate) const STATE_VERSIONS: u32 = 30;

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow_local: true,
            allow_process: true,
            allow_downloads: true,
            shortcuts: Shortcuts::default(),
            deadlines: Deadlines::default(),
            git_timeout: std::time::Duration::from_secs(60),
            lease: std::time::Duration::from_secs(30),
            mirror: None,
            agent_patience: std::time::Duration::from_secs(120),
            state_url: None,
            state_versions: STATE_VERSIONS,
            unsealed: false,
        }
    }
}

/// All use cases over one store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    store: Store,
    settings: Settings,
}

impl Service {
    /// The use cases over `store`.
    pub(crate) fn new(store: Store, settings: Settings) -> Self {
        Self { store, settings }
    }

    /// A watch on every change, of any process.
    pub(crate) fn watch(&self) -> Watch {
        self.store.watch()
    }

    /// How many deployments wait, and how many run.
    pub(crate) async fn load(&self) -> Result<(u64, u64), StoreError> {
        let mut reading = self.store.reading().await?;
        rows::load(&mut reading).await
    }

    /// Whether nothing waits or runs that the worker of this data directory could see to.
    pub(crate) async fn is_idle(&self) -> Result<bool, StoreError> {
        let mut reading = self.store.reading().await?;
        let here = self.store.instance();
        Ok(rows::waiting(&mut reading, here).await? == 0
            && !leases::is_anything_adoptable(&mut reading, (here, "")).await?)
    }
}
