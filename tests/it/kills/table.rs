//! What is killed, when, and which test does it: no cell is left out without a reason.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Client, Launcher, Place, docker};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Client,
    Worker,
    ClientAndWorker,
    Supervisor,
    Engine,
    Container,
    /// `windlass serve`, started again afterwards.
    Server,
    /// The database of a server, started again afterwards.
    Database,
    /// The container daemon, started again afterwards.
    Daemon,
    /// All at once; what is left is a copy of the data directory as of that instant, started elsewhere.
    Machine,
    /// Client, worker and supervisor, one after the other.
    Everything,
}

/// While what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Image,
    Init,
    Planning,
    Applying,
    Writing,
    Saving,
}

/// Whether a victim is killed in a phase.
enum Cell {
    /// By this test.
    Run(&'static str),
    /// Never, for this reason.
    Impossible(&'static str),
}

impl Victim {
    const ALL: [Self; 11] = [
        Self::Client,
        Self::Worker,
        Self::ClientAndWorker,
        Self::Supervisor,
        Self::Engine,
        Self::Container,
        Self::Server,
        Self::Database,
        Self::Daemon,
        Self::Machine,
        Self::Everything,
    ];

    /// Whether the run goes on.
    pub(super) fn spares_the_run(self) -> bool {
        matches!(
            self,
            Self::Client | Self::Worker | Self::ClientAndWorker | Self::Server | Self::Database
        )
    }

    /// Whether the engine is alive afterwards, with nobody who listens to it.
    pub(super) fn leaves_the_engine(self, launcher: Launcher) -> bool {
        launcher == Launcher::Process && matches!(self, Self::Supervisor | Self::Everything)
    }

    /// Kills it.
    pub(super) fn strike(self, place: &Place, client: Client) {
        match self {
            Self::Client => client.kill(),
            Self::Worker => {
                place.kill_workers();
                // It need not see the end; others do.
                drop(client);
            }
            Self::ClientAndWorker => {
                place.kill_workers();
                client.kill();
            }
            Self::Engine => place.kill_engine(),
            Self::Supervisor => place.kill_supervisor(),
            Self::Container => remove_containers(place),
            Self::Machine => machine_dies(place, client),
            Self::Everything => {
                client.kill();
                place.kill_workers();
                place.kill_supervisor();
            }
            Self::Daemon => panic!("the daemon of this machine belongs to everybody"),
            Self::Server | Self::Database => panic!("this place has none"),
        }
    }
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Queued,
        Self::Image,
        Self::Init,
        Self::Planning,
        Self::Applying,
        Self::Writing,
        Self::Saving,
    ];

    fn test(self) -> &'static str {
        match self {
            Self::Queued => "killed_while_queued",
            Self::Image => "killed_while_its_image_is_built",
            Self::Init => "killed_while_initializing",
            Self::Planning => "killed_while_planning",
            Self::Applying => "killed_while_applying",
            Self::Writing => "killed_while_writing_the_state",
            Self::Saving => "killed_while_saving",
        }
    }
}

fn cell(victim: Victim, phase: Phase) -> Cell {
    match (victim, phase) {
        (Victim::Supervisor | Victim::Engine | Victim::Container, Phase::Image) => {
            Cell::Impossible("there is none before the image")
        }
        (Victim::Everything, Phase::Image) => Cell::Impossible("the same as client and worker"),
        (Victim::Server, Phase::Image) => {
            Cell::Impossible("the same as the worker, which is in it")
        }
        (Victim::Server, Phase::Queued) => Cell::Run("the_server_is_killed_while_queued"),
        (Victim::Server, _) => Cell::Run("the_server_is_killed"),
        (Victim::Database, Phase::Queued) => Cell::Run("the_database_is_killed_while_queued"),
        (Victim::Database, Phase::Image) => {
            Cell::Run("the_database_is_killed_while_an_image_is_built")
        }
        (Victim::Database, _) => Cell::Run("the_database_is_killed"),
        (Victim::Daemon, Phase::Queued) => Cell::Run("the_daemon_is_killed_while_queued"),
        (Victim::Daemon, Phase::Image) => Cell::Run("the_daemon_is_killed_while_it_builds"),
        (Victim::Daemon, _) => Cell::Run("the_daemon_is_killed_while_a_run_goes_on"),
        _ => Cell::Run(phase.test()),
    }
}

/// Those that the test of a phase kills with this launcher.
pub(super) fn victims(phase: Phase, launcher: Launcher) -> impl Iterator<Item = Victim> {
    Victim::ALL.into_iter().filter(move |victim| {
        let is_here = matches!(cell(*victim, phase), Cell::Run(test) if test == phase.test());
        is_here && (launcher == Launcher::Docker || *victim != Victim::Container)
    })
}

/// Removes every container of a place by force.
fn remove_containers(place: &Place) {
    for container in place.containers() {
        docker(&["rm", "--force", "--volumes", &container]);
    }
}

/// Copies the data directory as of one instant: all that writes to it stands still meanwhile.
pub(super) fn copy(place: &Place, to: &Path) {
    let mut stopped = Vec::new();
    // Twice, for what was started while the first round went on.
    for _ in 0..2 {
        let ours = place.processes().into_iter().map(|(pid, _)| pid);
        let runners = place.runner_processes().into_iter().map(|(pid, _)| pid);
        for pid in ours.chain(runners) {
            signal(pid, Signal::STOP);
            stopped.push(pid);
        }
    }
    let status = Command::new("cp")
        .arg("-a")
        .arg(place.data())
        .arg(to)
        .status();
    for pid in stopped {
        signal(pid, Signal::CONT);
    }
    assert!(status.is_ok_and(|status| status.success()), "it is copied");
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// What is left of a machine is a copy of its data directory; it is started where no process and no container of it runs.
fn machine_dies(place: &Place, client: Client) {
    let there = place.data().with_extension("copy");
    copy(place, &there);
    client.kill();
    let runner = place.runner_processes();
    for (pid, _) in place
        .processes()
        .into_iter()
        .chain(runner.into_iter().map(|(pid, name)| (pid, vec![name])))
    {
        crate::support::kill(pid);
    }
    if place.launcher() == Launcher::Docker {
        remove_containers(place);
    }
    std::fs::remove_dir_all(place.data()).expect("the machine is gone");
    std::fs::rename(&there, place.data()).expect("the copy is another machine's");
}

#[test]
fn every_victim_meets_every_phase_or_there_is_a_reason() {
    let mut text = String::new();
    for phase in Phase::ALL {
        let _ = writeln!(text, "{phase:?}");
        for victim in Victim::ALL {
            let (mark, what) = match cell(victim, phase) {
                Cell::Run(test) => ("run", test),
                Cell::Impossible(why) => ("impossible", why),
            };
            let _ = writeln!(text, "  {:16} {mark:11} {what}", format!("{victim:?}"));
        }
    }
    insta::assert_snapshot!(text, @"
    Queued
      Client           run         killed_while_queued
      Worker           run         killed_while_queued
      ClientAndWorker  run         killed_while_queued
      Supervisor       run         killed_while_queued
      Engine           run         killed_while_queued
      Container        run         killed_while_queued
      Server           run         the_server_is_killed_while_queued
      Database         run         the_database_is_killed_while_queued
      Daemon           run         the_daemon_is_killed_while_queued
      Machine          run         killed_while_queued
      Everything       run         killed_while_queued
    Image
      Client           run         killed_while_its_image_is_built
      Worker           run         killed_while_its_image_is_built
      ClientAndWorker  run         killed_while_its_image_is_built
      Supervisor       impossible  there is none before the image
      Engine           impossible  there is none before the image
      Container        impossible  there is none before the image
      Server           impossible  the same as the worker, which is in it
      Database         run         the_database_is_killed_while_an_image_is_built
      Daemon           run         the_daemon_is_killed_while_it_builds
      Machine          run         killed_while_its_image_is_built
      Everything       impossible  the same as client and worker
    Init
      Client           run         killed_while_initializing
      Worker           run         killed_while_initializing
      ClientAndWorker  run         killed_while_initializing
      Supervisor       run         killed_while_initializing
      Engine           run         killed_while_initializing
      Container        run         killed_while_initializing
      Server           run         the_server_is_killed
      Database         run         the_database_is_killed
      Daemon           run         the_daemon_is_killed_while_a_run_goes_on
      Machine          run         killed_while_initializing
      Everything       run         killed_while_initializing
    Planning
      Client           run         killed_while_planning
      Worker           run         killed_while_planning
      ClientAndWorker  run         killed_while_planning
      Supervisor       run         killed_while_planning
      Engine           run         killed_while_planning
      Container        run         killed_while_planning
      Server           run         the_server_is_killed
      Database         run         the_database_is_killed
      Daemon           run         the_daemon_is_killed_while_a_run_goes_on
      Machine          run         killed_while_planning
      Everything       run         killed_while_planning
    Applying
      Client           run         killed_while_applying
      Worker           run         killed_while_applying
      ClientAndWorker  run         killed_while_applying
      Supervisor       run         killed_while_applying
      Engine           run         killed_while_applying
      Container        run         killed_while_applying
      Server           run         the_server_is_killed
      Database         run         the_database_is_killed
      Daemon           run         the_daemon_is_killed_while_a_run_goes_on
      Machine          run         killed_while_applying
      Everything       run         killed_while_applying
    Writing
      Client           run         killed_while_writing_the_state
      Worker           run         killed_while_writing_the_state
      ClientAndWorker  run         killed_while_writing_the_state
      Supervisor       run         killed_while_writing_the_state
      Engine           run         killed_while_writing_the_state
      Container        run         killed_while_writing_the_state
      Server           run         the_server_is_killed
      Database         run         the_database_is_killed
      Daemon           run         the_daemon_is_killed_while_a_run_goes_on
      Machine          run         killed_while_writing_the_state
      Everything       run         killed_while_writing_the_state
    Saving
      Client           run         killed_while_saving
      Worker           run         killed_while_saving
      ClientAndWorker  run         killed_while_saving
      Supervisor       run         killed_while_saving
      Engine           run         killed_while_saving
      Container        run         killed_while_saving
      Server           run         the_server_is_killed
      Database         run         the_database_is_killed
      Daemon           run         the_daemon_is_killed_while_a_run_goes_on
      Machine          run         killed_while_saving
      Everything       run         killed_while_saving
    ");
    let tests = [
        include_str!("matrix.rs"),
        include_str!("requests.rs"),
        include_str!("served.rs"),
        include_str!("stages.rs"),
    ];
    for line in text.lines().filter(|line| line.contains(" run ")) {
        let name = line.split_whitespace().last().expect("a name");
        let begins = format!("fn {name}(");
        assert!(
            tests.iter().any(|file| file.contains(&begins)),
            "there is no test {name}"
        );
    }
}

/// What users see of it.
#[test]
fn the_readme_shows_the_table() {
    let words = |victim: Victim| match victim {
        Victim::Client => "client",
        Victim::Worker => "worker",
        Victim::ClientAndWorker => "client and worker",
        Victim::Supervisor => "supervisor",
        Victim::Engine => "engine",
        Victim::Container => "container",
        Victim::Server => "server",
        Victim::Database => "PostgreSQL",
        Victim::Daemon => "Docker daemon",
        Victim::Machine => "machine",
        Victim::Everything => "client, worker and supervisor",
    };
    let mut table =
        "| killed | in line | building the image | init | planning | applying | writing the state | saving |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n".to_owned();
    for victim in Victim::ALL {
        let _ = write!(table, "| {} |", words(victim));
        for phase in Phase::ALL {
            let ending = match cell(victim, phase) {
                Cell::Impossible(_) => "–",
                Cell::Run(_) if victim.spares_the_run() => "goes on",
                Cell::Run(_) if (victim, phase) == (Victim::Daemon, Phase::Image) => "fails",
                Cell::Run(_) => match phase {
                    Phase::Queued | Phase::Image => "goes on",
                    Phase::Init | Phase::Planning | Phase::Saving => "fails",
                    Phase::Applying | Phase::Writing => "fails, named",
                },
            };
            let _ = write!(table, " {ending} |");
        }
        table.push('\n');
    }
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).expect("there");
    assert!(
        readme.contains(&table),
        "README.md must show this:\n{table}"
    );
}
