//! The readable view: `<view>/<graph>/<node>`, a link to the newest object of each node.
//!
//! A link is a convenience, not a reference.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::Store;
use super::disk::{fail, names_in};
use super::lock::Lock;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::fingerprint::Digest;

impl Store {
    /// Makes `view/graph/node` a relative link to the object, replacing an older link in one step.
    /// Relative, so that a folder which holds both can be moved.
    ///
    /// # Errors
    /// Something else than a link in its place; a folder that cannot be written.
    pub fn link_view(&self, view: &Path, graph: &str, node: &str, digest: &Digest) -> Result<()> {
        let folder = view.join(graph);
        fs::create_dir_all(&folder).map_err(fail("make the folder", &folder))?;
        // Through real paths: `..` out of a folder that is itself a link leads somewhere else.
        let real = |path: &Path| fs::canonicalize(path).map_err(fail("find the folder", path));
        let target = relative(&real(&folder)?, &real(&self.root)?.join("objects").join(digest.to_string()));
        let link = folder.join(node);
        match fs::symlink_metadata(&link) {
            Ok(metadata) if !metadata.is_symlink() => {
                return Err(Error::new("something else is where a link to a result belongs")
                    .at(&link)
                    .help("move it away, or name another folder for the view"));
            }
            Ok(_) if fs::read_link(&link).is_ok_and(|old| old == target) => return Ok(()),
            _ => {}
        }
        // Always the same name, one process at a time: what a kill left here is replaced by the next run,
        // which finds the link as it was.
        let _linking = Lock::take(&self.root.join("locks").join("view.lock"), &Cancel::default())?;
        let fresh = folder.join(format!(".{node}"));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(fail("remove an old link", &fresh)(error));
            }
            _ => {}
        }
        symlink(&target, &fresh).map_err(fail("make the link", &fresh))?;
        fs::rename(&fresh, &link).map_err(fail("replace the link", &link))
    }

    /// Removes the links `view/<graph>/<node>` to objects of this store that are gone.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn unlink_view(&self, view: &Path) -> Result<()> {
        let objects = self.root.join("objects");
        let objects = fs::canonicalize(&objects).map_err(fail("find the folder", &objects))?;
        for graph in names_in(view)?.iter().map(|graph| view.join(graph)) {
            if !fs::symlink_metadata(&graph).is_ok_and(|metadata| metadata.is_dir()) {
                continue;
            }
            for link in names_in(&graph)?.iter().map(|node| graph.join(node)) {
                let Ok(target) = fs::read_link(&link) else { continue };
                let folder = target.parent().and_then(|parent| fs::canonicalize(graph.join(parent)).ok());
                if folder.as_ref() == Some(&objects) && !link.exists() {
                    fs::remove_file(&link).map_err(fail("remove the link", &link))?;
                }
            }
        }
        Ok(())
    }
}

/// The way from one absolute folder to another path.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component>, Vec<Component>) =
        (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(Component::ParentDir, from.len() - shared);
    up.chain(to[shared..].iter().copied()).collect()
}
