//! The steps between: from the request to the engine's start beside a bare start of the same container, from a line
//! that the engine prints to a line that the client shows, the durable acceptance of a deployment, and what a container
//! costs that only stands by.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::case::{Case, Provider};
use crate::docker::Docker;
use crate::ours::{Launch, Ours, Outputs};
use crate::parts::Parts;
use crate::report::{Report, Row};
use crate::stats::{greatest, least, median, quantile};
use crate::{Options, report};

/// A deploy that is nothing but starts.
const SMALL: Case = Case {
    nodes: 1,
    provider: Provider::BuiltIn,
};

pub(crate) fn measure(parts: &Parts, options: &Options, report: &mut Report) {
    match &parts.docker {
        Ok(docker) => {
            if let Err(why) = starts(parts, docker, options, report) {
                report.failed("request to engine start", &why);
            }
            if let Err(why) = lines(parts, Launch::Standby, report) {
                report.failed("log lines with docker", &why);
            }
        }
        Err(why) => report.failed("latencies with docker", why),
    }
    if let Err(why) = lines(parts, Launch::Process, report) {
        report.failed("log lines", &why);
    }
    if let Err(why) = accepts(parts, options, report) {
        report.failed("acceptance of a deployment", &why);
    }
}

/// Request to engine start in a cold container, and in one that stood by; bare starts between them; idle cost.
fn starts(
    parts: &Parts,
    docker: &Docker,
    options: &Options,
    report: &mut Report,
) -> Result<(), String> {
    report::say("latency: starts");
    let rounds = if options.quick { 3 } else { 7 };
    let mirror = TempDir::new().map_err(|error| error.to_string())?;
    let cold = Ours::new(parts, SMALL, Launch::Cold, mirror.path())?;
    let warm = Ours::new(parts, SMALL, Launch::Standby, mirror.path())?;
    warm.deploy("warm", Outputs::Skipped)?;
    warm.settle("warm")?;
    let (mut bare, mut engine, mut surplus, mut stood_by) = (vec![], vec![], vec![], vec![]);
    for round in 0..=rounds {
        let like = warm.standing_by().ok_or("nothing stands by")?;
        let base = docker.bare_start(&like, round)?;
        let asked = engine_start(&cold.deploy(&format!("round-{round}"), Outputs::Skipped)?)?;
        cold.settle("")?;
        let text = format!("warm-{round}");
        let early = engine_start(&warm.deploy(&text, Outputs::Skipped)?)?;
        warm.settle(&text)?;
        if round == 0 {
            continue;
        }
        report.measured(&json!({
            "what": "request to engine start", "round": round, "bare_create_and_start_ms": base, "cold_ms": asked,
            "standby_ms": early}));
        bare.push(base);
        surplus.push(asked - base);
        engine.push(asked);
        stood_by.push(early);
    }
    let span = |values: &[f64]| format!("{:.0}-{:.0} ms", least(values), greatest(values));
    report.row(
        Row::plain(
            "bare create and start of the same container",
            format!("{:.0} ms", median(&bare)),
        )
        .spread(span(&bare)),
    );
    let more = median(&surplus);
    report.row(
        Row::plain(
            "request to engine start, docker cold",
            format!("{:.0} ms ({more:+.0})", median(&engine)),
        )
        .spread(span(&engine))
        .at_most(more, 60.0, "≤ bare + 60 ms"),
    );
    report.row(
        Row::plain(
            "request to engine start, docker standby",
            format!("{:.0} ms", median(&stood_by)),
        )
        .spread(span(&stood_by)),
    );
    idle(docker, &warm, report)
}

/// Milliseconds from the start of the client to that of the engine: the end that is on record, less what the run took
/// from there. Late by what it takes to store the end, so the truth is a little better.
fn engine_start(done: &crate::ours::Deployed) -> Result<f64, String> {
    let ended: jiff::Timestamp = done.record["completed_at"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or("the record does not say when the deployment ended")?;
    let asked = jiff::Timestamp::try_from(done.asked).map_err(|error| error.to_string())?;
    let whole = ended.duration_since(asked).as_secs_f64() * 1e3;
    Ok(whole - done.number("total_ms") + done.number("started_ms"))
}

/// What it costs that a container stands by: its memory, the worker's, and processor time of both.
fn idle(docker: &Docker, place: &Ours<'_>, report: &mut Report) -> Result<(), String> {
    let id = place.standing_by().ok_or("nothing stands by")?;
    let worker = *place
        .workers()
        .first()
        .ok_or("no worker looks after what stands by")?;
    let cpu = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        let ns: f64 = stat
            .split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0.0);
        ns / 1e6
    };
    let (_, before) = docker.usage(&id)?;
    let (started, worker_before) = (Instant::now(), cpu(worker));
    std::thread::sleep(Duration::from_secs(3));
    let seconds = started.elapsed().as_secs_f64();
    let worker_ms = (cpu(worker) - worker_before) / seconds;
    let (memory, after) = docker.usage(&id)?;
    let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1024.0;
    let container_ms = (after - before) / seconds;
    report.measured(&json!({
        "what": "standing by", "container_mib": memory, "container_cpu_ms_per_s": container_ms,
        "worker_mib": resident, "worker_cpu_ms_per_s": worker_ms}));
    report.row(
        Row::plain(
            "standing by: memory of container + worker",
            format!("{memory:.1} + {resident:.1} MiB"),
        )
        .spread(format!(
            "{container_ms:.1} + {worker_ms:.1} ms processor time per s"
        )),
    );
    Ok(())
}

/// A module prints what time it is; the client's line is compared with the clock when it comes. The clock that every
/// shell can read without a program has steps of 10 ms.
fn lines(parts: &Parts, launch: Launch, report: &mut Report) -> Result<(), String> {
    report::say("latency: log lines");
    let case = Case {
        nodes: 1,
        provider: Provider::Clock,
    };
    let mirror = TempDir::new().map_err(|error| error.to_string())?;
    let place = Ours::new(parts, case, launch, mirror.path())?;
    let file = place.manifest("lines")?;
    let mut arguments = place.arguments(file, Outputs::Skipped);
    arguments.push("--show-logs");
    let inner = place.command(&arguments);
    let mut outer = Command::new("sh");
    // Both streams into one pipe.
    outer.args(["-c", "exec \"$@\" 2>&1", "sh"]);
    outer.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    if let Some(directory) = inner.get_current_dir() {
        outer.current_dir(directory);
    }
    outer.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = outer
        .spawn()
        .map_err(|error| format!("no shell: {error}"))?;
    let output = child.stdout.take().ok_or("no pipe")?;
    let mut late = Vec::new();
    let mut said = String::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(|error| error.to_string())?;
        let now = uptime();
        let printed = line
            .split("clock ")
            .nth(1)
            .and_then(|rest| rest.strip_suffix(" end"))
            .and_then(|text| text.parse::<f64>().ok());
        if let Some(printed) = printed {
            let ms = (now - printed) * 1e3;
            report
                .measured(&json!({"what": "log line", "launch": format!("{launch:?}"), "ms": ms}));
            late.push(ms);
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() || late.is_empty() {
        return Err(format!(
            "{} lines of the module came, {status}: {}",
            late.len(),
            said.trim()
        ));
    }
    let first = late[0];
    report.row(
        Row::plain(
            format!("first log line, engine to client, {launch:?}").to_lowercase(),
            format!("{first:.0} ms"),
        )
        .spread(format!(
            "{} lines: p50 {:.0}, p99 {:.0}, max {:.0} ms",
            late.len(),
            quantile(&late, 0.5),
            quantile(&late, 0.99),
            greatest(&late)
        ))
        .at_most(greatest(&late), 100.0, "< 100 ms"),
    );
    Ok(())
}

/// Seconds since boot, in the steps that a module sees.
fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0.0)
}

/// `POST …/deployments` through the same router that a server has, on a store on disk.
fn accepts(parts: &Parts, options: &Options, report: &mut Report) -> Result<(), String> {
    report::say("latency: acceptance");
    let count = if options.quick { 100 } else { 300 };
    let case = Case {
        nodes: 10,
        provider: Provider::BuiltIn,
    };
    let mirror = TempDir::new().map_err(|error| error.to_string())?;
    let place = Ours::new(parts, case, Launch::Process, mirror.path())?;
    let resources: serde_json::Map<String, serde_json::Value> = (0..case.nodes)
        .map(|number| {
            let params = json!({"text": "steady", "size": number});
            (
                format!("r{number}"),
                json!({"type": "item", "params": params}),
            )
        })
        .collect();
    let body = json!({
        "project_id": "shop", "env_id": "dev", "mode": "deploy",
        "manifest": {"workloads": {"web": {"resources": resources}}},
        "windlass": {"on_busy": "queue", "runner": "process"}})
    .to_string();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let times = runtime.block_on(async {
        let router = windlass::api_over(&place.data()).await?;
        let mut times = Vec::new();
        for number in 0..=count {
            let request = Request::post("/orgs/default/deployments")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.clone()))
                .map_err(|error| error.to_string())?;
            let started = Instant::now();
            let answer = router
                .clone()
                .oneshot(request)
                .await
                .map_err(|error| error.to_string())?;
            let ms = started.elapsed().as_secs_f64() * 1e3;
            if answer.status() != 201 {
                let status = answer.status();
                let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
                    .await
                    .unwrap_or_default();
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
            }
            // The first one warms up.
            if number > 0 {
                times.push(ms);
            }
        }
        Ok::<_, String>(times)
    })?;
    for ms in &times {
        report.measured(&json!({"what": "acceptance", "ms": ms}));
    }
    let p99 = quantile(&times, 0.99);
    report.row(
        Row::plain(
            "acceptance of a deployment, durable, p99",
            format!("{p99:.1} ms"),
        )
        .spread(format!(
            "p50 {:.1}, max {:.1} ms of {count}",
            median(&times),
            greatest(&times)
        ))
        .at_most(p99, 20.0, "< 20 ms"),
    );
    Ok(())
}
