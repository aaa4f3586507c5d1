//! `--deadline PHASE=TIME`: how long a phase of this deployment may take.

use crate::wire::runners::Deadlines;

/// One phase and its seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    phase: &'static str,
    secs: u64,
}

/// Reads `apply=30m`.
pub(super) fn parse(text: &str) -> Result<Deadline, String> {
    let phases = Deadlines::default().each().map(|(name, _)| name);
    let (phase, time) = text.split_once('=').ok_or_else(|| {
        format!(
            "expected PHASE=TIME, for example apply=30m; phases: {}",
            phases.join(", ")
        )
    })?;
    let phase = phases
        .into_iter()
        .find(|known| *known == phase)
        .ok_or_else(|| format!("`{phase}` is no phase; phases: {}", phases.join(", ")))?;
    let digits = time.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &time[digits.len()..] {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let secs = digits
        .parse::<u64>()
        .ok()
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit))
        .filter(|secs| (1..=Deadlines::MOST).contains(secs))
        .ok_or_else(|| format!("`{time}` is no time from 1s to 168h; write 90s, 30m or 2h"))?;
    Ok(Deadline { phase, secs })
}

/// As the API takes them; the last one of a phase counts.
pub(super) fn all(deadlines: &[Deadline]) -> Option<Deadlines> {
    let mut all = Deadlines::default();
    for Deadline { phase, secs } in deadlines {
        let place = match *phase {
            "init" => &mut all.init,
            "plan" => &mut all.plan,
            "apply" => &mut all.apply,
            "destroy" => &mut all.destroy,
            "finish" => &mut all.finish,
            _ => &mut all.grace,
        };
        *place = Some(*secs);
    }
    (!deadlines.is_empty()).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_the_last_one_counts() {
        let read = |texts: &[&str]| {
            let read: Result<Vec<_>, _> = texts.iter().map(|text| parse(text)).collect();
            all(&read.expect("readable"))
        };
        assert_eq!(read(&[]), None);
        assert_eq!(
            read(&["apply=1h", "apply=90s", "grace=5", "init=2m"]),
            Some(Deadlines {
                init: Some(120),
                apply: Some(90),
                grace: Some(5),
                ..Deadlines::default()
            })
        );
    }

    #[test]
    fn what_is_no_deadline_is_refused_with_what_is_one() {
        for (text, words) in [
            ("apply", "PHASE=TIME"),
            ("aply=3s", "`aply` is no phase; phases: init, plan, apply"),
            ("apply=", "write 90s"),
            ("apply=0", "from 1s"),
            ("apply=-1s", "no time"),
            ("apply=1d", "no time"),
            ("apply=169h", "168h"),
            ("apply=99999999999999999999h", "no time"),
            ("apply=\u{663}m", "no time"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
