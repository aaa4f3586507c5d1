//! Notices commits, those of other processes too.
//!
//! On SQLite by looking at `data_version` while somebody waits. On PostgreSQL every write gives a notice with its
//! commit and one connection listens; when that was lost, or as good as lost, something may have been missed, so a
//! look at which transactions there are, every second, makes up for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sqlx::postgres::PgListener;
use sqlx::{ConnectOptions, PgPool, SqliteConnection};
use tokio::sync::{Notify, watch};

use super::StoreError;
use super::sql::{CHANNEL, Database};

/// How often it looks; half of what a follower may notice late.
const LOOK: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

/// Counts commits, roughly: it rises at least once after every commit.
pub(super) struct Changes {
    count: watch::Sender<u64>,
    waiting: AtomicUsize,
    wake: Notify,
}

impl Changes {
    /// Starts what notices commits of others. It sleeps while nobody waits and ends with the store.
    pub(super) async fn start(database: &Database) -> Result<Arc<Self>, StoreError> {
        let changes = Arc::new(Self {
            count: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            wake: Notify::new(),
        });
        match database {
            Database::Sqlite { options, .. } => {
                let mut connection = options.connect().await?;
                let last = data_version(&mut connection).await?;
                tokio::spawn(look_at_file(Arc::downgrade(&changes), connection, last));
            }
            Database::Postgres {
                listeners,
                readers,
                voice,
                ..
            } => {
                let listener = listen(listeners).await?;
                let weak = Arc::downgrade(&changes);
                tokio::spawn(hear(weak, listeners.clone(), listener, voice.clone()));
                tokio::spawn(look_at_server(Arc::downgrade(&changes), readers.clone()));
            }
        }
        Ok(changes)
    }

    /// Whether anybody waits; if not, waits a second for somebody.
    async fn wanted(&self) -> bool {
        if self.waiting.load(Ordering::Acquire) > 0 {
            return true;
        }
        // Ends to see whether the store has gone.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.wake.notified()).await;
        false
    }

    /// Wakes everybody who waits.
    pub(super) fn nudge(&self) {
        self.count.send_modify(|count| *count += 1);
    }

    /// How many changes were noticed.
    pub(super) fn number(&self) -> u64 {
        *self.count.borrow()
    }

    pub(super) fn watch(self: &Arc<Self>) -> Watch {
        Watch {
            count: self.count.subscribe(),
            changes: Arc::clone(self),
        }
    }
}

async fn look_at_file(changes: Weak<Changes>, mut connection: SqliteConnection, mut last: i64) {
    while let Some(changes) = changes.upgrade() {
        if !changes.wanted().await {
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
}

async fn data_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA data_version")
        .fetch_one(connection)
        .await
}

async fn listen(listeners: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(listeners).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Passes notices of other processes on; this one's own are known already.
async fn hear(changes: Weak<Changes>, listeners: PgPool, mut listener: PgListener, voice: String) {
    loop {
        let heard = tokio::time::timeout(SECOND, listener.try_recv()).await;
        let Some(changes) = changes.upgrade() else {
            return;
        };
        match heard {
            Err(_) => {}
            Ok(Ok(Some(notice))) if notice.payload() == voice => {}
            Ok(Ok(Some(_))) => changes.nudge(),
            // The connection was lost and is there again, and nobody knows what was said between.
            Ok(Ok(None)) => changes.nudge(),
            Ok(Err(_)) => {
                drop(listener);
                listener = loop {
                    if let Ok(listener) = listen(&listeners).await {
                        break listener;
                    }
                    if Arc::strong_count(&changes) == 1 {
                        return;
                    }
                    tokio::time::sleep(SECOND).await;
                };
                changes.nudge();
            }
        }
    }
}

/// Looks once a second while somebody waits, on a connection like that of every read.
async fn look_at_server(changes: Weak<Changes>, readers: PgPool) {
    let mut last = None;
    while let Some(changes) = changes.upgrade() {
        if !changes.wanted().await {
            continue;
        }
        let look = sqlx::query_scalar("SELECT pg_current_snapshot()::text").fetch_one(&readers);
        let now: Option<String> = match tokio::time::timeout(10 * SECOND, look).await {
            Ok(Ok(now)) => Some(now),
            Ok(Err(_)) | Err(_) => None,
        };
        // A failed look counts as a change here too.
        if now.is_none() || now != last {
            last = now;
            changes.nudge();
        }
        drop(changes);
        tokio::time::sleep(SECOND).await;
    }
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

impl Watch {
    /// The same for commits of this process, and those of others that are noticed for somebody else's sake; nobody
    /// looks again and again for this one.
    ///
    /// Why: a server that has nothing to do asks its database nothing.
    pub(crate) async fn changed_here(&mut self, max: Duration) {
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
