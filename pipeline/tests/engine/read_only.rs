//! Folders of a store that cannot be written: an error with path and help, and nothing else happens.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::child::{NOBODY, as_nobody, command};
use crate::project::{Project, files_below};

fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

#[test]
#[ignore = "becomes another user, which takes root"]
fn any_folder_of_the_store_that_cannot_be_written_is_named_and_the_store_stays_whole() {
    let project = Project::new();
    let copy = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    fs::set_permissions(project.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(project.store());
    give(project.folder.path(), NOBODY);
    let share = || {
        let command = command("share or say why not", project.folder.path());
        as_nobody(&command, copy.path()).output().unwrap()
    };
    for folder in ["tmp", "locks", "objects", "results", "heads", "heads/demo"] {
        let place = project.root().join(folder);
        fs::create_dir_all(&place).unwrap();
        give(&place, NOBODY);
        fs::set_permissions(&place, fs::Permissions::from_mode(0o555)).unwrap();
        let before = files_below(&project.root().join("results"));
        let output = share();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{folder}: {told}");
        assert!(
            told.contains("Permission denied") && told.contains(place.to_str().unwrap()),
            "{folder}: {told}"
        );
        assert!(told.contains("this user may not write there: change the permissions"), "{folder}: {told}");
        let kept = files_below(&project.root().join("results"));
        assert!(before.iter().all(|(name, bytes)| kept.get(name) == Some(bytes)), "{folder}");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        let damage = project.store().verify(&project.cancel, &mut |_, _| {}).unwrap();
        assert!(damage.is_empty(), "{folder}: {damage:?}");
        // What root made while it looked on.
        give(project.folder.path(), NOBODY);
    }
    let output = share();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
