//! The program `coreg` as a child process: started, watched, interrupted, and what it left behind.
//!
//! It knows nothing of what the program is asked to do.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine; ends a test that would hang.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program that was built beside this test.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let release = test.parent().and_then(Path::parent).unwrap();
    let program = release.join("coreg");
    assert!(
        program.is_file(),
        "{} is not there; build it first: cargo build --release -p stages",
        program.display()
    );
    program
}

/// The user whom every system has.
pub const NOBODY: u32 = 65_534;

/// Whether the tests run as root, for whom no permission counts.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// A command that tests prepare and start.
pub struct Coreg {
    command: Command,
    log: PathBuf,
}

impl Coreg {
    /// The program with no argument yet; what it prints goes to files that begin with `log`.
    pub fn new(log: PathBuf) -> Self {
        let mut command = Command::new(program());
        for (name, _) in std::env::vars() {
            let proxy = name.to_lowercase().ends_with("_proxy");
            if proxy
                || name.starts_with("HF_")
                || name.starts_with("HUGGINGFACE_")
                || name.starts_with("RAYON_")
            {
                command.env_remove(name);
            }
        }
        // The tests run side by side, as many as there are cores: one thread each is quickest.
        command.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null());
        Self { command, log }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds settings: `"co-reg.epochs=4 seed=1"`.
    #[must_use]
    pub fn set(self, settings: &str) -> Self {
        self.args(["--set", settings])
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The same command under another umask, such as `022`.
    #[must_use]
    pub fn umask(self, mask: &str) -> Self {
        let shell = format!("umask {mask} && exec \"$0\" \"$@\"");
        let program = self.command.get_program().to_owned();
        let mut other = Command::new("sh");
        other.args(["-c", &shell]).arg(program).args(self.command.get_args());
        self.handed_to(other)
    }

    /// The same command for whom permissions count: where the tests run as root another user, who gets a copy of the
    /// program in `folder`; else the one who runs them.
    #[must_use]
    pub fn without_privileges(self, folder: &Path) -> Self {
        if !is_root() {
            return self;
        }
        let copy = folder.join("coreg");
        if !copy.exists() {
            fs::copy(program(), &copy).unwrap();
        }
        let place = |word: &std::ffi::OsStr| {
            if word == program().as_os_str() { copy.clone().into_os_string() } else { word.to_owned() }
        };
        let mut other = Command::new(place(self.command.get_program()));
        other.args(self.command.get_args().map(place)).uid(NOBODY).gid(NOBODY);
        self.handed_to(other)
    }

    /// Hands the environment to another command, and becomes that.
    fn handed_to(mut self, mut command: Command) -> Self {
        command.stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    /// Starts the program.
    pub fn start(mut self) -> Running {
        let logs = [self.log.with_extension("out"), self.log.with_extension("err")];
        self.command.stdout(File::create(&logs[0]).unwrap()).stderr(File::create(&logs[1]).unwrap());
        Running { child: self.command.spawn().unwrap(), logs, begun: Instant::now() }
    }

    /// Runs the program to its end.
    pub fn output(self) -> Output {
        self.start().end()
    }

    /// Runs the program, which must succeed.
    pub fn ok(self) -> Output {
        self.output().succeeded()
    }
}

/// A running program; killed when dropped.
pub struct Running {
    child: Child,
    logs: [PathBuf; 2],
    begun: Instant,
}

impl Running {
    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.logs[1]).unwrap()).into_owned()
    }

    /// Waits until standard error has `text`.
    pub fn until(&mut self, text: &str) {
        assert!(self.comes_to(text), "ended before `{text}`: {}", self.stderr());
    }

    /// As [`until`](Self::until); false if the program ends before.
    pub fn comes_to(&mut self, text: &str) -> bool {
        while !self.stderr().contains(text) {
            if self.is_over() {
                return self.stderr().contains(text);
            }
            assert!(self.begun.elapsed() < PATIENCE, "no `{text}` in {PATIENCE:?}: {}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Sends a signal by name: `INT`, `TERM`, `KILL`.
    pub fn signal(&mut self, name: &str) {
        // The shell's own `kill` is there even where no program of this name is.
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(sent.unwrap().success(), "cannot send SIG{name}: it ended before");
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Output {
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(self.begun.elapsed() < PATIENCE, "still runs after {PATIENCE:?}: {}", self.stderr());
            thread::sleep(Duration::from_millis(2));
        };
        let stdout = String::from_utf8_lossy(&fs::read(&self.logs[0]).unwrap()).into_owned();
        Output { code, stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended and what it printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Asserts that it succeeded.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that it failed as a program should: exit code 1, no panic, exactly one error, which comes
    /// last and has all `words`. Gives the error.
    pub fn error(&self, words: &[&str]) -> String {
        let Self { code, stdout, stderr } = self;
        assert_eq!(*code, Some(1), "{stdout}\n{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        let starts: Vec<_> =
            stderr.lines().enumerate().filter(|(_, line)| line.starts_with("error:")).collect();
        assert_eq!(starts.len(), 1, "not exactly one error: {stderr}");
        let error: Vec<&str> = stderr.lines().skip(starts[0].0).collect();
        // One error may hold those of several stages, each of which begins with its stage.
        let several = error[0].ends_with("failed");
        let belongs = |line: &&&str| line.starts_with("  ") || several && line.contains(": ");
        let more = error.iter().skip(1).find(|line| !belongs(line));
        assert_eq!(more, None, "the error is not the last: {stderr}");
        let error = error.join("\n");
        for word in words {
            assert!(error.contains(word), "no `{word}` in: {error}");
        }
        error
    }

    /// As [`error`](Self::error), and the error says what to do.
    pub fn helpful_error(&self, words: &[&str]) -> String {
        let error = self.error(words);
        assert!(error.contains("  help: "), "it does not say what to do: {error}");
        error
    }
}
