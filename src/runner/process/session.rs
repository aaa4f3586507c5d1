//! The processes of one supervisor: it leads a session, and whatever it starts belongs to it.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::runner::inside::stat;

const LOOK: Duration = Duration::from_millis(20);

/// Whether this very process runs (a zombie does not).
pub(super) fn is_alive(pid: i32, started: u64) -> bool {
    stat(pid).is_some_and(|(state, _, since)| since == started && state != 'Z')
}

/// Sends a signal; that the process has just ended is fine.
pub(super) fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Live members of the session that `leader` led. Empty when the id belongs to somebody else by now.
fn members(leader: i32, started: u64) -> Vec<i32> {
    if stat(leader).is_some_and(|(_, _, since)| since != started) {
        return Vec::new();
    }
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != leader && session_of(*pid) == Some(leader))
        .collect()
}

fn session_of(pid: i32) -> Option<i32> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(2)?.parse().ok()
}

/// After the leader has ended: interrupts what it left, waits, and kills what does not end.
pub(super) async fn empty(leader: i32, started: u64, grace: Duration) {
    if is_alive(leader, started) {
        return;
    }
    let left = members(leader, started);
    for pid in &left {
        signal(*pid, Signal::INT);
    }
    let until = Instant::now() + grace;
    loop {
        let left = members(leader, started);
        if left.is_empty() {
            return;
        }
        if Instant::now() >= until {
            for pid in left {
                signal(pid, Signal::KILL);
            }
        }
        tokio::time::sleep(LOOK).await;
        if Instant::now() >= until + grace {
            return;
        }
    }
}

/// Ends a supervisor whose run is over or never began: by asking, then by force.
pub(super) async fn end(leader: i32, started: u64) {
    for (how, patience) in [
        (Signal::TERM, Duration::from_secs(5)),
        (Signal::KILL, Duration::from_secs(5)),
    ] {
        if !is_alive(leader, started) {
            break;
        }
        signal(leader, how);
        let until = Instant::now() + patience;
        while is_alive(leader, started) && Instant::now() < until {
            tokio::time::sleep(LOOK).await;
        }
    }
    empty(leader, started, Duration::from_secs(5)).await;
}
