//! A server under load: acceptance, reads, followers, memory, and a list whose deployments carry much.
//!
//! The ratio of a row is to a bare handler, a process of its own with the same framework that reads the body and answers
//! with a few words, asked by the same client in the same round; "bare again" is the noise of this run. Servers have
//! both processors to themselves and the client, which costs the bare handler as much as ours.

mod load;
mod place;
mod queue;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use self::load::{Connection, Requests, open_loop, request, saturate};
use self::place::{Bare, ENVIRONMENTS, ORG, Place, Postgres, TOKEN};
pub(crate) use self::place::{CHILD, child};
use crate::Options;
use crate::report::{self, Report, Row, Verdict};
use crate::stats::{Ratio, greatest, least, median, quantile};

/// Nodes of a deployment that is accepted.
const NODES: usize = 10;
const CONNECTIONS: usize = 50;
/// Deployments a second, of all connections together.
const RATE: f64 = 100.0;

/// How much of everything.
struct Size {
    seconds: u64,
    rounds: usize,
    streams: usize,
    listed: usize,
    /// Deployments in line.
    waiting: usize,
    /// Sealed bytes of each deployment that is listed.
    sealed: usize,
}

pub(crate) fn measure(options: &Options, report: &mut Report) {
    let size = match options.quick {
        true => Size {
            seconds: 2,
            rounds: 2,
            streams: 100,
            listed: 100,
            waiting: 1000,
            sealed: 128 << 10,
        },
        false => Size {
            seconds: 20,
            rounds: 5,
            streams: 1000,
            listed: 1000,
            waiting: 10_000,
            sealed: 1 << 20,
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report.failed("a server under load", &error.to_string()),
    };
    for postgres in [false, true] {
        let name = if postgres { "PostgreSQL" } else { "SQLite" };
        if let Err(why) = runtime.block_on(one(name, postgres, &size, report)) {
            report.failed(&format!("a server on {name} under load"), &why);
        }
    }
    if let Err(why) = runtime.block_on(lists(&size, report)) {
        report.failed("a list of deployments that carry much", &why);
    }
}

/// Everything of one database.
async fn one(name: &str, postgres: bool, size: &Size, report: &mut Report) -> Result<(), String> {
    report::say(&format!("server: {name}"));
    let database = postgres.then(Postgres::start).transpose()?;
    let mut place = Place::new(database.as_ref())?;
    place.serve()?;
    let idle = place.memory_mib()?;
    report.measured(&json!({"what": "idle", "database": name, "mib": idle}));
    report.row(
        Row::plain(
            format!("a server that does nothing, {name}"),
            format!("{idle:.0} MiB"),
        )
        .at_most(idle, 50.0, "< 50 MiB"),
    );
    place.apply()?;
    let bare = Bare::start()?;
    let address = place.address()?;
    let blocker = block(&place).await?;
    accept(name, &place, &bare, size, report).await?;
    reads(name, &place, &bare, &blocker, size, report).await?;
    followers(name, &place, &blocker, size, report).await?;
    queue::measure(name, &place, size.waiting, size.seconds, report).await?;
    let mut connection = Connection::open(address).await?;
    connection.ask(&request("GET", "/alive", TOKEN, "")).await?;
    Ok(())
}

/// Takes the one place for runs: whatever else is accepted stays in line. Returns the deployment that has it.
async fn block(place: &Place) -> Result<String, String> {
    let mut connection = Connection::open(place.address()?).await?;
    let path = format!("/orgs/{ORG}/deployments");
    let body = Place::deployment(ENVIRONMENTS, 1);
    let made = connection
        .ask(&request("POST", &path, TOKEN, &body))
        .await?;
    let made: serde_json::Value =
        serde_json::from_slice(&made).map_err(|error| error.to_string())?;
    let id = made["id"].as_str().ok_or("a deployment without an id")?;
    let path = format!("{path}/{id}");
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let found = connection.ask(&request("GET", &path, TOKEN, "")).await?;
        let found: serde_json::Value =
            serde_json::from_slice(&found).map_err(|error| error.to_string())?;
        let phase = found["windlass"]["phase"].as_str().unwrap_or_default();
        match phase {
            "planning" | "applying" => return Ok(id.to_owned()),
            "ended" => return Err(format!("the run that was to last ended: {found}")),
            phase if Instant::now() > patience => {
                return Err(format!("the run that was to last is still {phase}"));
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn accepting() -> Requests {
    let path = format!("/orgs/{ORG}/deployments");
    let ready: Vec<Vec<u8>> = (0..ENVIRONMENTS)
        .map(|number| request("POST", &path, TOKEN, &Place::deployment(number, NODES)))
        .collect();
    Arc::new(move |number| ready[number % ENVIRONMENTS].clone())
}

async fn accept(
    name: &str,
    place: &Place,
    bare: &Bare,
    size: &Size,
    report: &mut Report,
) -> Result<(), String> {
    let requests = accepting();
    let duration = Duration::from_secs(size.seconds);
    // The first ones warm both up.
    let (ours, bare) = (place.address()?, bare.address());
    for address in [ours, bare] {
        open_loop(
            address,
            &requests,
            CONNECTIONS,
            RATE,
            Duration::from_secs(1),
        )
        .await?;
    }
    let times = open_loop(ours, &requests, CONNECTIONS, RATE, duration).await?;
    let floor = open_loop(bare, &requests, CONNECTIONS, RATE, duration).await?;
    for (side, times) in [("ours", &times), ("bare", &floor)] {
        for ms in times {
            report
                .measured(&json!({"what": "acceptance", "database": name, "side": side, "ms": ms}));
        }
    }
    let (p99, bare_p99) = (quantile(&times, 0.99), quantile(&floor, 0.99));
    let mut row = Row::plain(
        format!("acceptance of {NODES} nodes, durable, {RATE:.0}/s of {CONNECTIONS}, p99, {name}"),
        format!("{p99:.1} ms"),
    )
    .spread(format!(
        "p50 {:.1}, max {:.1} ms of {}; bare p99 {bare_p99:.1}",
        median(&times),
        greatest(&times),
        times.len()
    ))
    .at_most(p99, 20.0, "< 20 ms");
    row.ratio = format!("{:.1} × bare", p99 / bare_p99);
    if bare_p99 > 10.0 && row.verdict != Verdict::Met {
        row.verdict = Verdict::Open("the bare handler is slow too: others use this machine".into());
    }
    report.row(row);
    let sides = [("acceptance", ours)];
    throughput(name, sides, bare, &requests, size, report, None).await
}

async fn reads(
    name: &str,
    place: &Place,
    bare: &Bare,
    deployment: &str,
    size: &Size,
    report: &mut Report,
) -> Result<(), String> {
    let (ours, bare) = (place.address()?, bare.address());
    for (what, path) in [
        ("reading a project", format!("/orgs/{ORG}/projects/shop")),
        (
            "reading a deployment",
            format!("/orgs/{ORG}/deployments/{deployment}"),
        ),
    ] {
        let request = request("GET", &path, TOKEN, "");
        let requests: Requests = Arc::new(move |_| request.clone());
        throughput(
            name,
            [(what, ours)],
            bare,
            &requests,
            size,
            report,
            Some(2000.0),
        )
        .await?;
    }
    Ok(())
}

/// Answers a second with every connection busy, beside those of the bare handler, round by round.
async fn throughput(
    name: &str,
    [(what, ours)]: [(&str, std::net::SocketAddr); 1],
    bare: std::net::SocketAddr,
    requests: &Requests,
    size: &Size,
    report: &mut Report,
    budget: Option<f64>,
) -> Result<(), String> {
    let slice = Duration::from_secs_f64(size.seconds as f64 / 10.0);
    let mut sides: [Vec<f64>; 3] = Default::default();
    for round in 0..=size.rounds {
        for turn in 0..3 {
            // The order moves on by one each round.
            let side = (turn + round) % 3;
            let address = if side == 0 { ours } else { bare };
            let speed = saturate(address, requests, CONNECTIONS, slice).await?;
            // The first round warms up.
            if round > 0 {
                let named = ["ours", "bare", "bare again"][side];
                report.measured(&json!({
                    "what": what, "database": name, "round": round, "side": named, "per_second": speed}));
                sides[side].push(speed);
            }
        }
    }
    let [ours, bare, again] = sides;
    let (ratio, noise) = (Ratio::paired(&ours, &bare), Ratio::paired(&again, &bare));
    let speed = median(&ours);
    let mut row = Row::plain(
        format!("{what}, as many as it can, {name}"),
        format!("{speed:.0}/s"),
    )
    .spread(format!(
        "{:.0}-{:.0}/s; bare {:.0}/s, again {:.2}",
        least(&ours),
        greatest(&ours),
        median(&bare),
        noise.median
    ));
    row.ratio = format!("{:.2} × bare", ratio.median);
    if let Some(budget) = budget {
        row.budget = format!("> {budget:.0}/s");
        row.verdict = match speed > budget {
            true => Verdict::Met,
            false if !noise.is_level() => {
                Verdict::Open(format!("the noise of this run is {:.2}", noise.median))
            }
            false => Verdict::Missed(format!("by {:.0} %", (1.0 - speed / budget) * 100.0)),
        };
    }
    report.row(row);
    Ok(())
}

async fn followers(
    name: &str,
    place: &Place,
    deployment: &str,
    size: &Size,
    report: &mut Report,
) -> Result<(), String> {
    let before = place.memory_mib()?;
    let path = format!("/orgs/{ORG}/deployments/{deployment}/events");
    let request = request("GET", &path, TOKEN, "");
    let mut streams = Vec::new();
    for _ in 0..size.streams {
        let mut connection = Connection::open(place.address()?).await?;
        connection.follow(&request).await?;
        streams.push(connection);
    }
    let mib = place.memory_mib()?;
    report.measured(&json!({
        "what": "followers", "database": name, "streams": streams.len(), "mib": mib, "mib_before": before}));
    report.row(
        Row::plain(
            format!("a server with {} event streams, {name}", streams.len()),
            format!("{mib:.0} MiB"),
        )
        .spread(format!("{before:.0} MiB before"))
        .at_most(mib, 100.0, "< 100 MiB"),
    );
    Ok(())
}

/// The same list from two servers, of which one has sealed streams with every deployment.
async fn lists(size: &Size, report: &mut Report) -> Result<(), String> {
    report::say("server: lists");
    let mut light = Place::new(None)?;
    light.serve()?;
    light.apply()?;
    block(&light).await?;
    let mut connection = Connection::open(light.address()?).await?;
    let accept = accepting();
    for number in 0..size.listed {
        connection.ask(&accept(number)).await?;
    }
    light.stop();
    let mut heavy = Place::new(None)?;
    copy(&light.data(), &heavy.data()).map_err(|error| format!("no copy: {error}"))?;
    burden(&heavy.data().join("windlass.db"), size.sealed).await?;
    light.serve()?;
    heavy.serve()?;
    let path = format!("/orgs/{ORG}/deployments?per_page=100");
    let request = request("GET", &path, TOKEN, "");
    let places = [light.address()?, heavy.address()?, light.address()?];
    let mut sides: [Vec<f64>; 3] = Default::default();
    for round in 0..=size.rounds * 4 {
        for turn in 0..3 {
            let side = (turn + round) % 3;
            let mut connection = Connection::open(places[side]).await?;
            let started = Instant::now();
            let mut path = request.clone();
            let mut pages = 0;
            // All of it, page by page.
            loop {
                let page = connection.ask(&path).await?;
                pages += 1;
                let page: serde_json::Value =
                    serde_json::from_slice(&page).map_err(|error| error.to_string())?;
                let Some(next) = page["next_page_token"]
                    .as_str()
                    .filter(|next| !next.is_empty())
                else {
                    break;
                };
                let next = format!("/orgs/{ORG}/deployments?per_page=100&page={next}");
                path = load::request("GET", &next, TOKEN, "");
            }
            let ms = started.elapsed().as_secs_f64() * 1e3;
            if pages * 100 < size.listed {
                return Err(format!(
                    "{pages} pages do not hold {} deployments",
                    size.listed
                ));
            }
            if round > 0 {
                let named = ["without", "with", "without again"][side];
                report.measured(&json!({"what": "list", "round": round, "side": named, "ms": ms}));
                sides[side].push(ms);
            }
        }
    }
    let [without, with, again] = sides;
    let (ratio, noise) = (
        Ratio::paired(&with, &without),
        Ratio::paired(&again, &without),
    );
    let mut row = Row::plain(
        format!(
            "list of {} deployments with {} KiB sealed bytes each, SQLite",
            size.listed,
            size.sealed >> 10
        ),
        format!("{:.0} ms", median(&with)),
    )
    .spread(format!(
        "{:.2}-{:.2} ({:.2}); again {:.2}",
        ratio.min, ratio.max, ratio.of_minima, noise.median
    ));
    row.ratio = format!("{:.2} × without", ratio.median);
    row.budget = "≤ 1.2 × without".into();
    row.verdict = match ratio.median <= 1.2 {
        true => Verdict::Met,
        false if !noise.is_level() => {
            Verdict::Open(format!("the noise of this run is {:.2}", noise.median))
        }
        false => Verdict::Missed(format!("by {:.0} %", (ratio.median / 1.2 - 1.0) * 100.0)),
    };
    report.row(row);
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        // Pipes and sockets of runs stay where they are.
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Gives every deployment a log of so many bytes in frames, as runs leave them.
async fn burden(database: &std::path::Path, bytes: usize) -> Result<(), String> {
    use sqlx::ConnectOptions as _;
    const FRAME: usize = 64 << 10;
    let wrong = |error: sqlx::Error| format!("the database could not be filled: {error}");
    let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(database)
        .connect()
        .await
        .map_err(wrong)?;
    let frames = i64::try_from(bytes / FRAME).map_err(|error| error.to_string())?;
    for statement in [
        "INSERT INTO streams (run, attempt, stream, deployment, last, complete) \
         SELECT run, 1, 'logs', id, $1, 1 FROM deployments \
         WHERE NOT EXISTS (SELECT 1 FROM streams s WHERE s.run = deployments.run)",
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) \
         INSERT INTO frames (run, attempt, stream, number, bytes) \
         SELECT run, 1, 'logs', n, randomblob(65536) FROM deployments, numbers WHERE true ON CONFLICT DO NOTHING",
    ] {
        sqlx::query(statement)
            .bind(frames)
            .execute(&mut connection)
            .await
            .map_err(wrong)?;
    }
    sqlx::Connection::close(connection).await.map_err(wrong)
}
