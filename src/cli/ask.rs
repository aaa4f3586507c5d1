//! Questions. Never hangs: without a terminal a question is an error that names the flag to use.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use super::exit::Advised;
use super::print;

/// How long a question waits.
const PATIENCE: Duration = Duration::from_secs(300);

/// Whether somebody can answer.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Waits for Enter. `otherwise` is the flag that skips the question.
pub(crate) async fn enter(question: &str, otherwise: &str) -> anyhow::Result<()> {
    answer(
        &format!("{question} Press Enter to go on, Ctrl-C to stop. "),
        otherwise,
    )
    .await?;
    Ok(())
}

/// Yes or no; everything but `y`, `Y` and `yes` is no.
pub(crate) async fn yes(question: &str, otherwise: &str) -> anyhow::Result<bool> {
    let said = answer(&format!("{question} [y/N] "), otherwise).await?;
    Ok(matches!(said.trim(), "y" | "Y" | "yes"))
}

/// Wants `word` typed.
pub(crate) async fn typed(question: &str, word: &str, otherwise: &str) -> anyhow::Result<()> {
    let said = answer(&format!("{question} Type {word} to confirm: "), otherwise).await?;
    if said.trim() == word {
        return Ok(());
    }
    Err(Advised::new(
        format!("not confirmed: `{word}` was expected. Nothing was changed"),
        [] as [String; 0],
    )
    .into())
}

/// One of the answers to a question.
pub(crate) struct Choice {
    /// What is typed.
    pub(crate) letter: char,
    /// What it means.
    pub(crate) words: &'static str,
}

/// Wants one of several answers; the first one stands for Enter. `None` where nothing sensible was said.
pub(crate) async fn choose(question: &str, choices: &[Choice]) -> Option<char> {
    let listed: Vec<String> = choices
        .iter()
        .map(|choice| format!("[{}] {}", choice.letter, choice.words))
        .collect();
    let said = answer(&format!("\n{question}\n{}: ", listed.join("  ")), "")
        .await
        .ok()?;
    let first = said
        .trim()
        .chars()
        .next()
        .map(|letter| letter.to_ascii_lowercase());
    match first {
        None => choices.first().map(|choice| choice.letter),
        Some(said) => choices
            .iter()
            .map(|choice| choice.letter)
            .find(|letter| *letter == said),
    }
}

async fn answer(question: &str, otherwise: &str) -> anyhow::Result<String> {
    if !can_ask() {
        return Err(Advised::new(
            "a confirmation is needed and there is no terminal to ask on",
            [format!("pass {otherwise}")],
        )
        .into());
    }
    print::prompt(question);
    // The thread that reads cannot be stopped; the process ends without it.
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|bytes| (bytes, line))
    });
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(Ok((0, _)))) => Err(anyhow::anyhow!(
            "standard input ended before the question was answered"
        )),
        Ok(Ok(Ok((_, line)))) => Ok(line),
        Ok(Ok(Err(error))) => Err(anyhow::Error::new(error).context("could not read the answer")),
        Ok(Err(error)) => Err(anyhow::Error::new(error).context("could not read the answer")),
        Err(_) => Err(Advised::new(
            format!(
                "nobody answered within {} s. Nothing was changed",
                PATIENCE.as_secs()
            ),
            [format!("pass {otherwise}")],
        )
        .into()),
    }
}
