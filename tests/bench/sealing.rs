//! Sealed and opened bytes per second on one core, at three frame sizes. Not in instructions: which of them run is
//! decided by the processor at run time.

use std::time::{Duration, Instant};

use serde_json::json;
use windlass::SealExercise;

use crate::report::{Report, Row};
use crate::stats::{greatest, least, median};
use crate::{Options, report};

/// Bytes of a frame: a log line, a page, and what a stream is cut into.
const SIZES: [usize; 3] = [200, 4 * 1024, 64 * 1024];
/// MB per second on one core, at the largest size.
const BUDGET: f64 = 1000.0;

pub(crate) fn measure(options: &Options, report: &mut Report) {
    report::say("sealing");
    let (rounds, slice) = if options.quick { (3, 50) } else { (7, 150) };
    for size in SIZES {
        let mut exercise = SealExercise::new(size);
        let mut sealed = Vec::new();
        let mut opened = Vec::new();
        for round in 0..=rounds {
            let seal = speed(size, slice, || exercise.seal());
            let open = speed(size, slice, || exercise.open());
            // The first one warms up.
            if round > 0 {
                report.measured(&json!({
                    "what": "sealing", "bytes": size, "round": round, "seal_mb_s": seal, "open_mb_s": open}));
                sealed.push(seal);
                opened.push(open);
            }
        }
        for (verb, speeds) in [("seal", &sealed), ("open", &opened)] {
            let speed = median(speeds);
            let row = Row::plain(
                format!("{verb} frames of {size} B"),
                format!("{speed:.0} MB/s"),
            )
            .spread(format!("{:.0}-{:.0}", least(speeds), greatest(speeds)));
            // Speed is the inverse of what a limit is for.
            report.row(if size == 64 * 1024 {
                row.at_most(1.0 / speed, 1.0 / BUDGET, "> 1 GB/s per core")
            } else {
                row
            });
        }
    }
}

/// MB of plaintext per second, over `slice` milliseconds.
fn speed(size: usize, slice: u64, mut step: impl FnMut() -> usize) -> f64 {
    let started = Instant::now();
    let mut frames = 0_u64;
    while started.elapsed() < Duration::from_millis(slice) {
        for _ in 0..16 {
            assert!(
                std::hint::black_box(step()) >= size,
                "a frame is as long as what is in it"
            );
            frames += 1;
        }
    }
    frames as f64 * size as f64 / started.elapsed().as_secs_f64() / 1e6
}
