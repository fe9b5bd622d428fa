//! A small file system in memory, to fill up or to make read-only. Mounting one takes root.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system; unmounted when dropped.
pub struct MemoryDisk {
    folder: PathBuf,
}

impl MemoryDisk {
    /// Mounts one on `folder`, which is made; `options` are those of tmpfs: `size=64m`.
    pub fn mount(folder: &Path, options: &str) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output().unwrap();
        assert!(
            mount.status.success(),
            "a file system in memory cannot be mounted (it takes root): {}",
            String::from_utf8_lossy(&mount.stderr)
        );
        Self { folder: folder.to_owned() }
    }

    /// Changes its options; false where the system refuses, as it does for a size that is smaller than the content.
    pub fn remount(&self, options: &str) -> bool {
        let options = format!("remount,{options}");
        Command::new("mount").args(["-o", &options]).arg(&self.folder).output().unwrap().status.success()
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for MemoryDisk {
    fn drop(&mut self) {
        // A test that failed may have left a process there; then the folder stays mounted until that ends.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}
