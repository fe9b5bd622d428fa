//! `~` at the beginning of a path that the user gives: the home folder, as shells have it. Where a path stands between
//! quotes or behind an `=`, no shell puts it in.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pipeline::error::{Error, Result};

/// The path with the home folder in the place of a leading `~`. What is there under the very name stays what it is.
///
/// # Errors
/// `~` where no home folder is known; `~somebody`, unless something is called so.
pub fn expand(path: &Path) -> Result<PathBuf> {
    expand_in(path, std::env::var_os("HOME"))
}

/// As [`expand`], of a path in a text; blanks before it are no part of it.
///
/// # Errors
/// As [`expand`], and a home folder whose name is no text.
pub fn expand_text(text: &str) -> Result<String> {
    let path = text.trim_start();
    if !path.starts_with('~') {
        return Ok(text.to_owned());
    }
    let expanded = expand(Path::new(path))?.into_os_string().into_string();
    expanded.map_err(|_| {
        Error::new("the home folder's name is not UTF-8, and cannot be part of a setting")
            .at(path)
            .help("name a path without `~`")
    })
}

/// As [`expand_text`], of each path of a list; a text that is one path as a whole is no list.
///
/// # Errors
/// As [`expand_text`].
pub fn expand_list(text: &str, separator: char) -> Result<String> {
    if !text.contains('~') || Path::new(text).exists() {
        return Ok(text.to_owned());
    }
    if let Ok(whole) = expand_text(text)
        && Path::new(&whole).exists()
    {
        return Ok(whole);
    }
    let parts: Vec<String> = text.split(separator).map(expand_text).collect::<Result<_>>()?;
    Ok(parts.join(&separator.to_string()))
}

fn expand_in(path: &Path, home: Option<OsString>) -> Result<PathBuf> {
    if !path.as_os_str().as_bytes().starts_with(b"~") || path.symlink_metadata().is_ok() {
        return Ok(path.to_owned());
    }
    let Ok(below) = path.strip_prefix("~") else {
        return Err(Error::new("a path begins with `~` and a name, and nothing is called so").at(path).help(
            "`~/` is your own home folder; write that of another user as a whole path, such as /home/name",
        ));
    };
    match home.filter(|home| !home.is_empty()) {
        // Joined with nothing, a path would end with a slash.
        Some(home) if below.as_os_str().is_empty() => Ok(PathBuf::from(home)),
        Some(home) => Ok(Path::new(&home).join(below)),
        None => Err(Error::new("a path begins with `~`, and the variable HOME does not say what that is")
            .at(path)
            .help("write the whole path, or set HOME")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_leading_tilde_is_the_home_folder_unless_something_is_called_so() {
        let expanded = |path: &str, home: Option<&str>| {
            expand_in(Path::new(path), home.map(OsString::from))
                .map(|path| path.to_str().unwrap().to_owned())
                .map_err(|error| error.to_string())
        };
        for (path, expected) in [
            ("~", "/home/me"),
            ("~/", "/home/me"),
            ("~/a/b.txt", "/home/me/a/b.txt"),
            ("~//a", "/home/me/a"),
            ("a/~", "a/~"),
            ("/a~", "/a~"),
            ("", ""),
        ] {
            assert_eq!(expanded(path, Some("/home/me")).unwrap(), expected, "{path}");
        }
        for home in [None, Some("")] {
            let error = expanded("~/a", home).unwrap_err();
            assert!(error.contains("HOME") && error.contains("help:"), "{error}");
        }
        let error = expanded("~somebody/a", Some("/home/me")).unwrap_err();
        assert!(error.contains("~somebody/a") && error.contains("whole path"), "{error}");
    }

    #[test]
    fn paths_in_a_list_are_expanded_each() {
        let home = std::env::var("HOME").unwrap();
        assert_eq!(expand_list("a/b,~/c, ~/d", ',').unwrap(), format!("a/b,{home}/c,{home}/d"));
        assert_eq!(expand_list("photo27+~/none.txt", '+').unwrap(), format!("photo27+{home}/none.txt"));
        assert_eq!(expand_list("photo27+data-set", '+').unwrap(), "photo27+data-set");
        assert!(expand_list("photo27+~nobody-is-called-so/x", '+').is_err());
    }
}
