//! Running an example as a program and reading what it says.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a run came to.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// An example's binary, which lies beside the folder of this test's own.
fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test knows where it is");
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = own.ancestors().nth(2).expect("it is in target/PROFILE/deps").join("examples").join(file);
    assert!(path.is_file(), "{}: there is none; `cargo build --example {name}` makes it", path.display());
    path
}

/// An example with nothing of the caller's environment that changes what it does.
fn command(name: &str) -> Command {
    let mut command = Command::new(binary(name));
    for name in ["RUST_LOG", "WGPU_BACKEND", "WGPU_ADAPTER_NAME"] {
        command.env_remove(name);
    }
    // Mesa's layer that chooses among GPUs would complain where there is no display.
    command.env("NODEVICE_SELECT", "1");
    command
}

/// Runs an example.
pub fn run(name: &str, variables: &[(&str, &str)], args: &[&dyn AsRef<OsStr>]) -> Said {
    let output = command(name).envs(variables.iter().copied()).args(args).output().expect("the example starts");
    let text = |bytes| String::from_utf8(bytes).expect("the example says UTF-8");
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// The same, with its output and its complaints going elsewhere: nobody reads the output.
pub fn run_into(name: &str, args: &[&dyn AsRef<OsStr>], out: Stdio, err: Stdio) -> Said {
    let mut child = command(name).args(args).stdout(out).stderr(err).spawn().expect("the example starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the example ends");
    let err = String::from_utf8(output.stderr).expect("the example says UTF-8");
    Said { code: output.status.code(), out: String::new(), err }
}

/// An example that goes on, whose output is read.
pub fn started(name: &str, args: &[&dyn AsRef<OsStr>]) -> Child {
    command(name).args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the example starts")
}

/// Runs an example, and kills it after some time as `kill -9` does; whether that came before its end.
pub fn run_killed(name: &str, args: &[&dyn AsRef<OsStr>], after: Duration) -> bool {
    let mut child =
        command(name).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the example starts");
    let end = Instant::now() + after;
    while Instant::now() < end {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            assert!(status.success(), "{name} ended by itself, and badly");
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it can be killed");
    !child.wait().expect("it ends").success()
}

impl Said {
    /// The lines of stderr that are not the line about the device.
    fn complaints(&self) -> Vec<&str> {
        self.err.lines().filter(|line| !line.starts_with("device: ")).collect()
    }

    /// The run ended with one sentence that holds all of `parts`, before any result.
    #[track_caller]
    pub fn refuses(&self, parts: &[&str]) {
        let lines = self.complaints();
        assert!(self.code == Some(1) && lines.len() == 1 && lines[0].starts_with("error: "), "{parts:?}: {self:#?}");
        assert!(parts.iter().all(|part| lines[0].contains(part)), "{} lacks one of {parts:?}", lines[0]);
        let result = |line: &str| line.starts_with("test accuracy") || line.starts_with("prediction");
        assert!(!self.out.lines().any(result), "{parts:?}: {self:#?}");
    }

    /// The command line itself was refused, by a first line that holds all of `parts`.
    #[track_caller]
    pub fn refuses_usage(&self, parts: &[&str]) {
        assert!(self.code == Some(2) && self.err.starts_with("error: ") && self.out.is_empty(), "{parts:?}: {self:#?}");
        assert!(parts.iter().all(|part| self.err.contains(part)), "{} lacks one of {parts:?}", self.err);
    }

    /// The run went through; its last line without the words before it.
    #[track_caller]
    pub fn ends(&self, words: &str) -> &str {
        assert!(self.code == Some(0) && !self.err.contains("error"), "{self:#?}");
        let last = self.out.lines().last().expect("it says something");
        last.strip_prefix(words).unwrap_or_else(|| panic!("{last:?} does not start with {words:?}"))
    }
}
