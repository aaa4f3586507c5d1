//! Whose a data directory is: one host at a time.
//!
//! The lock of the worker and the locks of the database hold between processes of one kernel. Over a network file system
//! two kernels may both believe to hold them, and an environment would have two writers. So such a file system is refused, and
//! a worker writes into the file that it locks on which host it runs: where another host's name stands there, the
//! directory is not touched, however it came to be seen by both.
//!
//! A worker that ended takes its name away. One that was killed leaves it: on its own host that means nothing, because
//! there the lock tells; a copy of the directory that is started elsewhere has to be freed by hand, once.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::StoreError;

/// The file that a worker locks.
pub(super) const LOCK: &str = "worker.lock";

/// File systems that several hosts may see at once; `fuse` alone is local as often as not, so its kinds are named.
const NETWORK: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb2",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "lustre",
    "gpfs",
    "beegfs",
    "glusterfs",
    "ocfs2",
    "gfs2",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.s3fs",
    "fuse.rclone",
    "fuse.gcsfuse",
    "fuse.juicefs",
    "fuse.mount-s3",
];

/// A worker, and where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    version: u32,
    host: String,
    /// `/etc/machine-id`; empty where there is none.
    machine: String,
    /// Changes with every start of the kernel; the same in all its containers.
    boot: String,
    pid: u32,
}

impl Holder {
    fn here() -> Self {
        let line = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            text.trim().to_owned()
        };
        Self {
            version: 1,
            host: line("/proc/sys/kernel/hostname"),
            machine: line("/etc/machine-id"),
            boot: line("/proc/sys/kernel/random/boot_id"),
            pid: std::process::id(),
        }
    }

    /// Whether it is of another host. This host before its last start is this host.
    fn is_elsewhere(&self, here: &Self) -> bool {
        self.boot != here.boot && (&self.machine, &self.host) != (&here.machine, &here.host)
    }
}

/// Where the worker of a data directory sits: a host and a directory there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seat {
    holder: Holder,
    directory: String,
}

impl Seat {
    /// That of this process, with a data directory.
    pub(super) fn here(root: &Path) -> Self {
        Self {
            holder: Holder::here(),
            directory: root.display().to_string(),
        }
    }

    /// Name of the host.
    pub(crate) fn host(&self) -> &str {
        &self.holder.host
    }

    /// Whether two are one, so that the lock in the directory stands between them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        !self.holder.is_elsewhere(&other.holder) && self.directory == other.directory
    }
}

/// Refuses a directory that another host may write to.
pub(super) fn check(root: &Path) -> Result<(), StoreError> {
    let device = std::fs::metadata(root)
        .map_err(|error| StoreError::file(root, "read", error))?
        .dev();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if let Some(kind) = kind_of(&mounts, device).filter(|kind| NETWORK.contains(kind)) {
        return Err(StoreError::Network {
            path: root.to_owned(),
            kind: kind.to_owned(),
        });
    }
    let lock = root.join(LOCK);
    let held = std::fs::read(&lock).unwrap_or_default();
    match serde_json::from_slice::<Holder>(&held) {
        Ok(holder) if holder.is_elsewhere(&Holder::here()) => Err(StoreError::OtherHost {
            path: root.to_owned(),
            host: holder.host,
            pid: holder.pid,
            lock,
        }),
        _ => Ok(()),
    }
}

/// The kind of the file system with this device number, by the kernel's table of mounts.
fn kind_of(mounts: &str, device: u64) -> Option<&str> {
    let number = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    mounts.lines().find_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        (mount.split(' ').nth(2)? == number).then(|| rest.split(' ').next())?
    })
}

/// Writes down that this process works here.
pub(super) fn sign(lock: &File) -> io::Result<()> {
    let text = serde_json::to_vec(&Holder::here())?;
    lock.set_len(0)?;
    lock.write_all_at(&text, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(host: &str, machine: &str, boot: &str) -> Holder {
        Holder {
            version: 1,
            host: host.to_owned(),
            machine: machine.to_owned(),
            boot: boot.to_owned(),
            pid: 1,
        }
    }

    #[test]
    fn another_host_is_told_from_this_one_restarted_or_in_a_container() {
        let here = holder("a", "m", "b1");
        assert!(!here.is_elsewhere(&here));
        assert!(!holder("a", "m", "b0").is_elsewhere(&here), "restarted");
        assert!(!holder("c", "", "b1").is_elsewhere(&here), "a container");
        assert!(holder("z", "n", "b2").is_elsewhere(&here));
        assert!(holder("z", "m", "b2").is_elsewhere(&here), "cloned");
    }

    #[test]
    fn the_kind_of_a_file_system_is_read_from_the_table_of_mounts() {
        let mounts = "24 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
                      31 24 0:52 / /srv/data rw,relatime shared:3 - nfs4 server:/data rw,vers=4.2\n\
                      32 24 0:53 / /mnt/far rw - fuse.sshfs host:/ rw\n";
        let kind = |major, minor| kind_of(mounts, rustix::fs::makedev(major, minor));
        assert_eq!(kind(254, 0), Some("ext4"));
        assert_eq!(kind(0, 52), Some("nfs4"));
        assert_eq!(kind(0, 53), Some("fuse.sshfs"));
        assert_eq!(kind(0, 99), None);
        for kind in ["nfs4", "fuse.sshfs"] {
            assert!(NETWORK.contains(&kind));
        }
    }
}
