//! Notices commits, those of other processes too, by looking at SQLite's `data_version` while somebody waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Notify, watch};

use super::StoreError;
use super::sql::Database;

/// How often it looks; half of what a follower may notice late.
const LOOK: Duration = Duration::from_millis(10);

/// Counts commits, roughly: it rises at least once after every commit.
pub(super) struct Changes {
    count: watch::Sender<u64>,
    waiting: AtomicUsize,
    wake: Notify,
}

impl Changes {
    /// Starts the one task that looks. It sleeps while nobody waits and ends with the store.
    pub(super) async fn start(database: &Database) -> Result<Arc<Self>, StoreError> {
        let Database::Sqlite { options, .. } = database;
        let mut connection = options.connect().await?;
        let mut last = data_version(&mut connection).await?;
        let changes = Arc::new(Self {
            count: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
        });
        let weak = Arc::downgrade(&changes);
        tokio::spawn(async move {
            loop {
                let Some(changes) = weak.upgrade() else {
                    return;
                };
                if changes.waiting.load(Ordering::Acquire) == 0 {
                    // Wakes once a second to see whether the store has gone.
                    let _ =
                        tokio::time::timeout(Duration::from_secs(1), changes.wake.notified()).await;
                    continue;
                }
                // A failed look counts as a change: whoever waits looks for himself and reports.
                let now = data_version(&mut connection).await.unwrap_or(last + 1);
                if now != last {
                    last = now;
                    changes.nudge();
                }
                drop(changes);
                tokio::time::sleep(LOOK).await;
            }
        });
        Ok(changes)
    }

    /// Wakes everybody who waits.
    pub(super) fn nudge(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        Watch {
            count: self.count.subscribe(),
            changes: Arc::clone(self),
        }
    }
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(connection)
        .await
}

/// Sees every commit after it was taken, of any process; several may be seen as one.
pub(crate) struct Watch {
    count: watch::Receiver<u64>,
    changes: Arc<Changes>,
}

impl Watch {
    /// Waits for a commit since the last call (or since the watch was taken), `max` at most.
    pub(crate) async fn changed(&mut self, max: Duration) {
        let _waiter = Waiter::new(&self.changes);
        let _ = tokio::time::timeout(max, self.count.changed()).await;
    }
}

struct Waiter(Arc<Changes>);

impl Waiter {
    fn new(changes: &Arc<Changes>) -> Self {
        changes.waiting.fetch_add(1, Ordering::AcqRel);
        changes.wake.notify_one();
        Self(Arc::clone(changes))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}
