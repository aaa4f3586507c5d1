//! What a program came to, told by all its threads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many faults are enough to look at.
const ENOUGH: usize = 20;

/// What a program came to.
#[derive(Default)]
pub(super) struct Report {
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    adopted: Mutex<BTreeMap<String, Vec<Duration>>>,
    wrong: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Report {
    /// One more of a kind.
    pub(super) fn count(&self, kind: &'static str, of: impl Into<String>) {
        *lock(&self.counts).entry((kind, of.into())).or_default() += 1;
    }

    /// So long after its start a member carried on all that it had carried when it was killed.
    pub(super) fn adopted(&self, member: &str, after: Duration) {
        let mut adopted = lock(&self.adopted);
        adopted.entry(member.to_owned()).or_default().push(after);
    }

    /// Something that must never be.
    pub(super) fn wrong(&self, what: impl Into<String>) {
        lock(&self.wrong).push(what.into());
    }

    /// Whether it is of no use to go on.
    pub(super) fn is_hopeless(&self) -> bool {
        lock(&self.wrong).len() >= ENOUGH
    }

    /// Fails where anything was wrong; `before` is what is done then.
    pub(super) fn check(&self, before: impl FnOnce()) {
        let wrong = lock(&self.wrong);
        if !wrong.is_empty() {
            before();
            panic!("{} faults:\n{}", wrong.len(), wrong.join("\n"));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = lock(&self.counts);
        let mut kinds: BTreeMap<&str, Vec<(&str, u64)>> = BTreeMap::new();
        for ((kind, of), count) in &*counts {
            kinds.entry(kind).or_default().push((of, *count));
        }
        for (kind, all) in kinds {
            let sum: u64 = all.iter().map(|(_, count)| count).sum();
            writeln!(f, "\n{kind}: {sum}")?;
            for (of, count) in all {
                writeln!(f, "  {count:6} {of}")?;
            }
        }
        writeln!(f, "\nadopted after the start of a killed member")?;
        for (member, all) in &*lock(&self.adopted) {
            let mut all = all.clone();
            all.sort_unstable();
            writeln!(
                f,
                "  {member}: {} times, half within {:?}, longest {:?}",
                all.len(),
                all[all.len() / 2],
                all[all.len() - 1]
            )?;
        }
        Ok(())
    }
}
