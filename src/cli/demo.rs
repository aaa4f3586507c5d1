//! `demo`: the whole product on a machine that has never seen it, from this binary alone.
//!
//! Writes the embedded example where it can be looked at, applies it, deploys one manifest to two
//! environments, and ends in a page: graphs, why each module was chosen, opened outputs beside what
//! the store holds of them. Touches nothing that it did not make: everything has the owner
//! [`OWNER`], and `--destroy` removes exactly that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rust_embed::RustEmbed;
use serde_json::{Map, Value};

use super::apply::{self, Options};
use super::create::{Doing, explain};
use super::deploy::follow::{self, End, OnInterrupt, Watch};
use super::deploy::{RunFlags, report, source, submit};
use super::exit::{Advised, Exit};
use super::keys::KeyStore;
use super::print::{self, progress::Progress, progress::elapsed};
use super::{Session, delete, files, graph, image, kinds, sealed};
use crate::runner::{docker, host};
use crate::ui::page::{self, DemoEnvironment, Step};
use crate::wire::deployments::{DeploymentGraph, DryRun};
use crate::wire::runners;

/// What the demo's objects are marked with.
const OWNER: &str = "windlass-demo";
/// The project of the example.
const PROJECT: &str = "shop";
/// Its environments.
const ENVIRONMENTS: [&str; 2] = ["staging", "live"];
/// How long the worker may take to go after the last environment has.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(RustEmbed)]
#[folder = "modules"]
struct Modules;

#[derive(RustEmbed)]
#[folder = "examples"]
struct Examples;

/// See it work: deploy an example to two environments of this machine
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Remove everything that the demo made
    #[arg(long)]
    destroy: bool,
    /// local (Docker) or process; without it, Docker where it answers
    #[arg(long, value_name = "ID", value_parser = [runners::LOCAL, runners::PROCESS])]
    runner: Option<String>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
}

impl Demo {
    /// Shows or cleans up.
    pub(crate) async fn run(self, session: &Session) -> anyhow::Result<Exit> {
        if self.destroy {
            return destroy(session).await;
        }
        let (runner, words) = choose_runner(session, self.runner).await?;
        let home = home(session);
        refuse_to_meddle(session).await?;
        extract(&home)?;
        print::say(print::paint(
            print::BOLD,
            "1. The platform team says what there is",
        ));
        print::say(format!(
            "   windlass apply -f {0}/modules -f {0}/examples/shop/platform",
            home.display()
        ));
        set_up(session, &home).await?;
        let mut shown = Vec::new();
        let mut chosen: Vec<(String, DeploymentGraph, Value)> = Vec::new();
        for (number, env) in ENVIRONMENTS.into_iter().enumerate() {
            print::say(print::paint(
                print::BOLD,
                format!("\n{}. A developer deploys to {env}", number + 2),
            ));
            let manifest = manifest(&home);
            print::say(format!(
                "   windlass deploy {PROJECT} {env} {} --runner {runner}",
                manifest.display()
            ));
            let (environment, graph, values) = deploy(session, env, &manifest, &runner).await?;
            shown.push(environment);
            chosen.push((env.to_owned(), graph, values));
        }
        let page = home.join("demo.html");
        let manifest =
            std::fs::read_to_string(manifest(&home)).context("could not read the manifest")?;
        let html = page::demo(&words, &manifest, &shown, &next_steps(&home, &runner))
            .context("could not render the page")?;
        files::write_private(&page, html.as_bytes())
            .with_context(|| format!("could not write `{}`", page.display()))?;
        summary(&chosen, &page, &home, &runner)?;
        if !self.no_open {
            graph::open(&page);
        }
        Ok(Exit::OK)
    }
}

/// Where the demo's files are.
fn home(session: &Session) -> PathBuf {
    session.settings.data_dir.join("demo")
}

fn manifest(home: &Path) -> PathBuf {
    home.join("examples/shop/manifest.yaml")
}

/// Docker where the daemon answers, else a child process, said aloud; and an engine either way.
async fn choose_runner(
    session: &Session,
    wanted: Option<String>,
) -> anyhow::Result<(String, String)> {
    let engines = &super::local::engines(&session.settings);
    let engine = host::engine(None, engines).map_err(image::launch)?;
    let probed = match wanted.as_deref() {
        Some(runners::PROCESS) => None,
        Some(_) | None => Some(docker::probe(session.settings.file.docker_host.as_deref()).await),
    };
    match (wanted.as_deref(), probed) {
        (_, Some(Ok(_))) => {
            print::say(format!(
                "Runs in Docker containers: no host paths but the state, no capabilities, not root. Engine: {}.",
                engine.engine
            ));
            Ok((
                runners::LOCAL.to_owned(),
                "Each run was one hardened Docker container.".to_owned(),
            ))
        }
        (Some(runners::LOCAL), Some(Err(error))) => Err(image::launch(error)),
        (wanted, probed) => {
            if let (None, Some(Err(error))) = (wanted, probed) {
                print::warning(format!("no container engine answers ({}).", error.message));
            }
            print::say(format!(
                "Runs WITHOUT a container, as child processes of this user: nothing isolates modules from this machine. Engine: {}.",
                engine.engine
            ));
            Ok((
                runners::PROCESS.to_owned(),
                "Runs had no container here: no container engine answered, or it was not asked for.".to_owned(),
            ))
        }
    }
}

/// A project of this name that somebody else made is not the demo's to change.
async fn refuse_to_meddle(session: &Session) -> anyhow::Result<()> {
    let client = session.client().await?;
    let path = kinds::PROJECT.item(&[PROJECT.to_owned()]);
    let Some(found) = client.find::<Value>(&path).await? else {
        return Ok(());
    };
    if found["windlass"]["owner"] == OWNER {
        return Ok(());
    }
    Err(Advised::new(
        format!("there is a project `{PROJECT}` that the demo did not make"),
        ["give the demo a place of its own: windlass demo --data-dir ./windlass-demo"],
    )
    .into())
}

/// Writes the embedded modules and examples.
fn extract(home: &Path) -> anyhow::Result<()> {
    let write = |path: &str, bytes: &[u8]| -> anyhow::Result<()> {
        let to = home.join(path);
        if let Some(parent) = to.parent() {
            files::private_dir(parent)?;
        }
        files::write_private(&to, bytes)
            .with_context(|| format!("could not write `{}`", to.display()))
    };
    for path in Modules::iter() {
        if let Some(file) = Modules::get(&path) {
            write(&format!("modules/{path}"), &file.data)?;
        }
    }
    for path in Examples::iter() {
        if let Some(file) = Examples::get(&path) {
            write(&format!("examples/{path}"), &file.data)?;
        }
    }
    Ok(())
}

/// Applies modules and platform.
async fn set_up(session: &Session, home: &Path) -> anyhow::Result<()> {
    let places =
        ["modules", "examples/shop/platform"].map(|place| home.join(place).display().to_string());
    let read = apply::read(&places)?;
    let options = Options {
        owner: Some(OWNER.to_owned()),
        prune: false,
    };
    apply::apply(session, &read, &options, false).await?;
    Ok(())
}

/// One deployment, followed to its end and opened.
async fn deploy(
    session: &Session,
    env: &str,
    manifest: &Path,
    runner: &str,
) -> anyhow::Result<(DemoEnvironment, DeploymentGraph, Value)> {
    let client = session.client().await?;
    let flags = RunFlags {
        no_prompt: true,
        runner: Some(runner.to_owned()),
        ..RunFlags::default()
    };
    let source = manifest.display().to_string();
    let request = source::load(
        session,
        PROJECT.to_owned(),
        env.to_owned(),
        &source,
        source::Edits::default(),
    )
    .await?;
    let environment = submit::check_environment(session, &request).await?;
    let preview: DryRun = submit::preview(session, &request, &flags).await?;
    let store = KeyStore::new(&session.settings.data_dir);
    let submitted = submit::submit(session, &request, &preview, &flags, &store).await?;
    session.ensure_worker()?;
    let id = submitted.deployment.id.clone();
    let watch = Watch {
        log_key: submitted.log_key.as_ref(),
        show_logs: false,
        on_interrupt: OnInterrupt::Ask,
    };
    let over = match follow::follow(session, &id, watch).await? {
        End::Over(over) => over,
        End::Detached => {
            return Err(Advised::new(
                "interrupted; the deployment goes on",
                [
                    format!("windlass logs {id} --follow"),
                    "windlass demo --destroy".to_owned(),
                ],
            )
            .into());
        }
    };
    report::finish(session, &over, &preview, &flags)?;
    let values = match &submitted.output_key {
        Some(key) => sealed::outputs(session, &id, key).await?,
        None => Value::Object(Map::new()),
    };
    let ciphertext = sealed::sealed_outputs(client, &id).await?;
    let graph: DeploymentGraph = client.get(&format!("deployments/{id}/graph")).await?;
    let mut shown = DemoEnvironment::new(
        env,
        &format!("{PROJECT}/{env}"),
        &graph.graph,
        &graph.diff,
        &ciphertext,
    );
    shown.environment_type = format!("environment type {}", environment.env_type_id);
    shown.outcome = over
        .deployment
        .windlass
        .as_ref()
        .and_then(|extras| extras.outcome)
        .and_then(|outcome| serde_json::to_value(outcome).ok())
        .and_then(|word| word.as_str().map(str::to_owned))
        .unwrap_or_else(|| over.deployment.status.clone());
    shown.took = elapsed(over.took);
    shown.deployment = id;
    shown.outputs = print::value::yaml(&values);
    Ok((shown, graph, values))
}

/// What differs between the environments, what came out, and where to look.
fn summary(
    chosen: &[(String, DeploymentGraph, Value)],
    page: &Path,
    home: &Path,
    runner: &str,
) -> anyhow::Result<()> {
    let mut keys: Vec<String> = chosen
        .iter()
        .flat_map(|(_, graph, _)| &graph.graph.nodes)
        .filter(|node| !node.key.is_workload())
        .map(|node| node.key.short())
        .collect();
    keys.sort();
    keys.dedup();
    let rows: Vec<Vec<String>> = keys
        .into_iter()
        .map(|key| {
            let modules = chosen.iter().map(|(_, graph, _)| {
                graph
                    .graph
                    .nodes
                    .iter()
                    .find(|node| node.key.short() == key)
                    .and_then(|node| node.module_id.clone())
                    .unwrap_or_else(|| "-".into())
            });
            std::iter::once(key.clone()).chain(modules).collect()
        })
        .collect();
    let mut titles = vec!["Resource"];
    titles.extend(chosen.iter().map(|(env, _, _)| env.as_str()));
    print::data(&format!(
        "\n{}\n{}",
        print::paint(
            print::BOLD,
            "One manifest, and what each environment made of it:"
        ),
        print::table::lines(&titles, &rows)
    ))?;
    for (env, _, values) in chosen {
        print::data(&format!(
            "{}\n{}",
            print::paint(
                print::BOLD,
                format!("Outputs of {env}, opened with the key on this machine:")
            ),
            indented(&print::value::yaml(values))
        ))?;
    }
    print::data(&format!(
        "{} {}\n  Graphs, why each module was chosen, and these outputs beside the ciphertext that the store holds.\n\n{}",
        print::paint(print::BOLD, "Look at it:"),
        print::paint(print::GOOD, format!("file://{}", page.display())),
        print::paint(print::BOLD, "How to go on:"),
    ))?;
    for step in next_steps(home, runner) {
        print::data(&format!("  {}\n    {}", step.what, step.command))?;
    }
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Commands to try next.
fn next_steps(home: &Path, runner: &str) -> Vec<Step> {
    let manifest = manifest(home);
    let manifest = manifest.display();
    let step = |what: &str, command: String| Step {
        what: what.to_owned(),
        command,
    };
    vec![
        step(
            "Look before you change something",
            format!(
                "windlass deploy shop staging {manifest} --set shared.db.params.server_version=18 --dry-run"
            ),
        ),
        step(
            "Change it",
            format!(
                "windlass deploy shop staging {manifest} --set shared.db.params.server_version=18 --runner {runner}"
            ),
        ),
        step(
            "Bring what runs in staging to live",
            format!("windlass deploy shop live environment://staging --runner {runner}"),
        ),
        step(
            "See what happened, and the whole log of it",
            "windlass get deployments shop live".to_owned(),
        ),
        step("Clean up", "windlass demo --destroy".to_owned()),
    ]
}

/// Removes what the demo made: environments with everything in them, then the catalogue, then the files.
async fn destroy(session: &Session) -> anyhow::Result<Exit> {
    let client = session.client().await?;
    for env in ENVIRONMENTS {
        let ids = [PROJECT.to_owned(), env.to_owned()];
        let found = client
            .find::<Value>(&kinds::ENVIRONMENT.item(&ids))
            .await
            .map_err(|error| explain(error, &kinds::ENVIRONMENT, &ids, client.org(), Doing::Get))?;
        if found.is_some_and(|found| found["windlass"]["owner"] == OWNER) {
            print::say(format!("Destroying {PROJECT}/{env}"));
            delete::environment_now(session, PROJECT, env).await?;
        }
    }
    let options = Options {
        owner: Some(OWNER.to_owned()),
        prune: true,
    };
    apply::apply(session, &apply::Files::default(), &options, false).await?;
    let home = home(session);
    match std::fs::remove_dir_all(&home) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("could not remove `{}`", home.display()));
        }
    }
    wait_for_worker(session).await?;
    print::success(
        "The demo is gone. The runner image stays; `docker image ls windlass-runner` shows it.",
    );
    Ok(Exit::OK)
}

/// The worker removes what stood by, and ends.
async fn wait_for_worker(session: &Session) -> anyhow::Result<()> {
    let opened = session.local().await?;
    let progress = Progress::start("waiting for the worker to end");
    let since = std::time::Instant::now();
    while since.elapsed() < PATIENCE {
        if opened.store.place().worker_lock()?.is_some() {
            drop(progress);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(progress);
    print::note(
        "A worker still runs: it has other work, or a container stands by for the next deployment.",
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_demo_needs_is_in_the_binary() {
        assert!(Examples::get("shop/manifest.yaml").is_some());
        assert!(Modules::iter().any(|path| path.ends_with(".tf")));
    }

    #[test]
    fn the_embedded_example_reads_without_a_problem() {
        let home = tempfile::tempdir().expect("a directory");
        extract(home.path()).expect("extracts");
        let places = ["modules", "examples/shop/platform"]
            .map(|place| home.path().join(place).display().to_string());
        let read = apply::read(&places).expect("reads");
        assert!(read.entries.iter().any(|entry| entry.code.is_some()));
    }
}
