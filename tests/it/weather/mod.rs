//! Bad weather: what the machine under a deployment does to it, and the one clear answer to each.
//!
//! [`disk`] a full disk and one that takes no writes, [`clock`] a clock that jumps, [`hosts`] two hosts on one data directory,
//! [`stubborn`] an engine that does not end, [`daemon`] a container daemon that is restarted, starves or has no space,
//! [`upgrade`] a newer program beside an older one.

mod clock;
mod daemon;
mod disk;
mod hosts;
mod stubborn;
mod upgrade;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::support::{CATALOGUE, Engine, Launcher, Place, as_root};

/// A small file system of its own in a directory, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// In memory, so large. Mounts of test processes that were killed go first.
    fn tmpfs(path: &Path, size: &str) -> Self {
        unmount_leftovers();
        fs::create_dir_all(path).expect("a directory");
        let source = format!("windlass-test-{}", std::process::id());
        let uid = rustix::process::geteuid().as_raw();
        let options = format!("size={size},mode=700,uid={uid}");
        let path = path.canonicalize().expect("it is there");
        let target = path.to_string_lossy();
        assert!(
            as_root(&["mount", "-t", "tmpfs", "-o", &options, &source, &target]),
            "a file system can be mounted at `{target}`: this test needs root, or sudo without a password"
        );
        Self(path)
    }

    /// From now on nothing can be written to it, or it can again.
    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let target = self.0.to_string_lossy();
        assert!(
            as_root(&["mount", "-o", &options, &target]),
            "`{target}` is mounted anew"
        );
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy", &self.0.to_string_lossy()]);
    }
}

fn unmount_leftovers() {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(source), Some(target)) = (fields.next(), fields.next()) else {
            continue;
        };
        let owner = source.strip_prefix("windlass-test-");
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            as_root(&["umount", "--lazy", target]);
        }
    }
}

/// Keeps a disk full until it is dropped: whatever becomes free is taken at once.
struct Brim {
    stop: Arc<AtomicBool>,
    filler: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Brim {
    fn over(directory: &Path) -> Self {
        let path = directory.join("brim");
        let mut file = File::create(&path).expect("a file that fills the disk");
        fill(&mut file);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let filler = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                fill(&mut file);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            stop,
            filler: Some(filler),
            path,
        }
    }
}

fn fill(file: &mut File) {
    for size in [64 * 1024, 4096] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

impl Drop for Brim {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(filler) = self.filler.take() {
            let _ = filler.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

const BASE: &str =
    "workloads:\n  base:\n    resources:\n      note: {type: note, params: {text: base}}\n";

/// A note of this many bytes, and a gate after it.
fn gated(gate: &str, bytes: usize) -> String {
    let text = "x".repeat(bytes);
    format!(
        "workloads:\n  web:\n    resources:\n      one: {{type: note, params: {{text: \"{gate}{text}\"}}}}\n      two: {{type: note, params: {{text: \"${{resources.one.outputs.text}}\"}}}}\n      gate: {{type: gate, params: {{name: {gate}}}}}\n"
    )
}

/// The catalogue is applied, and the manifests are there.
fn begin(place: &Place) {
    place.write("catalogue/all.yaml", CATALOGUE);
    place.ok(["apply", "-f", "catalogue"]);
    place.write("base.yaml", BASE);
}

fn by_process() -> Place {
    Place::new(Launcher::Process, Engine::OpenTofu)
}
