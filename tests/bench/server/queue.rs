//! A long line: what a deployment that waits costs in memory, and how long the server thinks about whose turn it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::CONNECTIONS;
use super::load::{Connection, request};
use super::place::{ENVIRONMENTS, ORG, Place, TOKEN};
use crate::report::{Report, Row};

/// Nodes of a deployment that waits.
const NODES: usize = 10;

/// Fills the line, then lets it move. The only place for runs is taken when this begins.
pub(super) async fn measure(
    name: &str,
    place: &Place,
    waiting: usize,
    seconds: u64,
    report: &mut Report,
) -> Result<(), String> {
    let before = (place.memory_mib()?, count(place, QUEUED).await?);
    fill(place, waiting).await?;
    let after = (place.memory_mib()?, count(place, QUEUED).await?);
    let more = (after.0 - before.0).max(0.0) * 1024.0;
    let each = more / (after.1 - before.1).max(1.0);
    report.measured(&json!({"what": "queued", "database": name, "waiting": after.1, "kib": each}));
    report.row(
        Row::plain(
            format!(
                "memory per queued deployment of {NODES} nodes, {:.0} in line, {name}",
                after.1
            ),
            format!("{each:.1} KiB"),
        )
        .spread(format!(
            "{:.0} MiB with {:.0}, {:.0} MiB with all",
            before.0, before.1, after.0
        ))
        .at_most(each, 20.0, "< 20 KiB"),
    );

    let before = Steps::of(place).await?;
    place.release()?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = Steps::of(place).await?;
    let (steps, mean, below) = after.since(&before);
    if steps < 10.0 {
        return Err(format!("only {steps} steps in {seconds} s"));
    }
    report.measured(&json!({"what": "step", "database": name, "steps": steps, "mean_ms": mean, "below_5_ms": below}));
    report.row(
        Row::plain(
            format!("whose turn it is, mean of {steps:.0} looks, {name}"),
            format!("{mean:.2} ms"),
        )
        .spread(format!("{:.1} % below 5 ms", below * 100.0))
        .at_most(mean, 5.0, "< 5 ms"),
    );
    Ok(())
}

const QUEUED: &str = "windlass_deployments{phase=\"queued\"}";

/// The histogram of steps.
struct Steps {
    count: f64,
    seconds: f64,
    below: f64,
}

impl Steps {
    async fn of(place: &Place) -> Result<Self, String> {
        Ok(Self {
            count: count(place, "windlass_queue_step_seconds_count").await?,
            seconds: count(place, "windlass_queue_step_seconds_sum").await?,
            below: count(place, "windlass_queue_step_seconds_bucket{le=\"0.005\"}").await?,
        })
    }

    /// Number, mean in milliseconds, and the part below 5 ms.
    fn since(&self, before: &Self) -> (f64, f64, f64) {
        let count = self.count - before.count;
        let mean = (self.seconds - before.seconds) / count.max(1.0) * 1e3;
        (count, mean, (self.below - before.below) / count.max(1.0))
    }
}

/// A number of `/metrics`; 0 where nothing was counted yet.
async fn count(place: &Place, name: &str) -> Result<f64, String> {
    let mut connection = Connection::open(place.address()?).await?;
    let text = connection
        .ask(&request("GET", "/metrics", TOKEN, ""))
        .await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    Ok(found
        .and_then(|rest| rest.trim().parse().ok())
        .unwrap_or(0.0))
}

/// Sends deployments, spread over all environments, until so many wait.
async fn fill(place: &Place, waiting: usize) -> Result<(), String> {
    let there = count(place, QUEUED).await? as usize;
    let missing = waiting.saturating_sub(there);
    let path = format!("/orgs/{ORG}/deployments");
    let ready: Arc<Vec<Vec<u8>>> = Arc::new(
        (0..ENVIRONMENTS)
            .map(|number| request("POST", &path, TOKEN, &Place::deployment(number, NODES)))
            .collect(),
    );
    let next = Arc::new(AtomicUsize::new(0));
    let address = place.address()?;
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (ready, next) = (Arc::clone(&ready), Arc::clone(&next));
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= missing {
                    return Ok::<_, String>(());
                }
                connection.ask(&ready[number % ENVIRONMENTS]).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(|error| error.to_string())??;
    }
    Ok(())
}
