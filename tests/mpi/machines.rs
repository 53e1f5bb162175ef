//! Two machines on one: namespaces of the network with a link between them, which can be cut.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Their names, and those of the ends of the link.
const NAMES: [&str; 2] = ["wgrad-a", "wgrad-b"];
pub const ENDS: [&str; 2] = ["wgrad-va", "wgrad-vb"];
const ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
const NET: &str = "10.77.0.0/24";

/// They are gone when this is dropped.
pub struct Machines {
    folder: tempfile::TempDir,
}

fn ip<const N: usize>(words: [&str; N]) -> bool {
    Command::new("ip").args(words).output().is_ok_and(|output| output.status.success())
}

/// With the launcher's daemon, which waits for ever where it is cut off.
fn remove() {
    for name in NAMES {
        processes(name).iter().for_each(|id| _ = Command::new("kill").args(["-KILL", id]).status());
        ip(["netns", "del", name]);
    }
}

fn processes(name: &str) -> Vec<String> {
    let output = Command::new("ip").args(["netns", "pids", name]).output();
    let ids = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    ids.split_whitespace().map(String::from).collect()
}

impl Machines {
    /// None where this process may make none: it takes root, `ip` and `unshare`.
    pub fn new() -> Option<Machines> {
        remove();
        let machines = Machines { folder: tempfile::tempdir().expect("a folder") };
        let [[a, b], [va, vb]] = [NAMES, ENDS];
        let mut is_made = NAMES.into_iter().all(|name| ip(["netns", "add", name]))
            && ip(["link", "add", va, "netns", a, "type", "veth", "peer", "name", vb, "netns", b]);
        for ((name, end), address) in NAMES.into_iter().zip(ENDS).zip(ADDRESSES) {
            is_made = is_made
                && ip(["-n", name, "addr", "add", &format!("{address}/24"), "dev", end])
                && ["lo", end].into_iter().all(|link| ip(["-n", name, "link", "set", link, "up"]));
        }
        let named = Command::new("unshare").args(["-u", "hostname", NAMES[0]]).status();
        if !is_made || !named.is_ok_and(|status| status.success()) {
            return None;
        }
        let shell =
            "#!/bin/sh\nwhile case $1 in -*) true;; *) false;; esac; do shift; done\nhost=$1; shift\ncase $host in\n";
        let cases = NAMES.iter().zip(ADDRESSES).map(|(name, address)| format!("{address}) name={name};;\n"));
        let run = "esac\nexec ip netns exec $name unshare -u sh -c \"hostname $name; $*\"\n";
        let text = format!("{shell}{}{run}", cases.collect::<String>());
        let agent = machines.agent();
        fs::write(&agent, text).expect("the agent is written");
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).expect("and can be run");
        Some(machines)
    }

    /// What starts a command on the other machine, as `ssh` would.
    fn agent(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// Runs an `mpirun` on the first machine, of one rank on each, after which none may be left on either.
    pub fn job(&self, run: impl FnOnce(&mut Command) -> Output) -> Output {
        let mut command = Command::new(self.agent());
        command.args([ADDRESSES[0], "exec", "mpirun", "--allow-run-as-root", "-n", "2"]);
        command.args(["--host", &ADDRESSES.map(|address| format!("{address}:1")).join(",")]);
        let agent = self.agent();
        let set: [[&OsStr; 2]; 9] = [
            ["plm_rsh_agent".as_ref(), agent.as_ref()],
            ["plm_rsh_no_tree_spawn".as_ref(), "1".as_ref()],
            ["pml".as_ref(), "ob1".as_ref()],
            ["btl".as_ref(), "tcp,self".as_ref()],
            ["btl_tcp_if_include".as_ref(), NET.as_ref()],
            ["oob_tcp_if_include".as_ref(), NET.as_ref()],
            // As the guide says: without these the launcher waits for the other machine for ever.
            ["oob_tcp_keepalive_time".as_ref(), "1".as_ref()],
            ["oob_tcp_keepalive_intvl".as_ref(), "1".as_ref()],
            ["oob_tcp_keepalive_probes".as_ref(), "3".as_ref()],
        ];
        set.into_iter().for_each(|[name, value]| _ = command.arg("--mca").args([name, value]));
        let output = run(&mut command);
        let is_rank = |id: &String| {
            let words = fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            words.split('\0').nth(1) == Some("rank")
        };
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Some(id) = NAMES.into_iter().flat_map(processes).find(is_rank) {
            assert!(Instant::now() < deadline, "rank {id} is left behind the end of its job");
            std::thread::sleep(Duration::from_millis(100));
        }
        output
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        remove();
    }
}
