//! Ranks that are processes, under a real `mpirun`: they learn what one process does, and all end where one does.
//!
//! `cargo test --features mpi --test mpi`, where Open MPI is installed. The test starts itself again as the ranks. With MPICH in its
//! place: `MPICC=mpicc.mpich WGRAD_MPIRUN=mpirun.mpich cargo test --features mpi --test mpi --target-dir target/mpich`.

#[path = "mpi/machines.rs"]
mod machines;
#[path = "mpi/ranks.rs"]
mod ranks;

use libtest_mimic::{Arguments, Failed, Trial};
use machines::Machines;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::Duration;
use wgrad::checkpoint;
use wgrad::nn::{StateDict, Values};

/// Within which all ranks are to end after one has failed.
const DEADLINE: Duration = Duration::from_secs(10);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, mode, folder] = &words[..]
        && first == "rank"
    {
        return ranks::run(mode, Path::new(folder));
    }
    let fault = |mode: &'static str| Trial::test(format!("all_end_after_{mode}"), move || all_end(mode));
    let mut trials: Vec<Trial> = ranks::FAULTS.map(fault).into();
    // Options of that launcher alone start the second machine's ranks.
    if VERSION.contains("(Open MPI) 4.") && Machines::new().is_some() {
        trials.push(Trial::test("all_end_after_cut", || all_end(ranks::CUT)));
    } else {
        eprintln!("all_end_after_cut is left out: it takes Open MPI 4, root, `ip` and `unshare`");
    }
    trials.push(Trial::test("processes_learn_what_one_does", learn));
    trials.push(Trial::test("processes_deal_out_moments_send_halves_and_train_by_themselves", options));
    trials.push(Trial::test("processes_that_mpi_does_not_know_of_are_told", unknown));
    // One job at a time: each has as many processes as this machine has cores, or more.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}

/// `mpirun` of the MPI that the test was built with.
fn launcher() -> Command {
    Command::new(std::env::var_os("WGRAD_MPIRUN").unwrap_or("mpirun".into()))
}

/// What the launcher says that it is.
static VERSION: LazyLock<String> =
    LazyLock::new(|| launcher().arg("--version").output().map(|output| said(&output)).unwrap_or_default());

fn is_open_mpi() -> bool {
    VERSION.contains("Open MPI")
}

/// Runs so many ranks to their end.
fn job(ranks: usize, mode: &str, folder: &Path) -> Output {
    let mut command = launcher();
    if is_open_mpi() {
        command.args(["--allow-run-as-root", "--oversubscribe"]);
    }
    job_by(command.args(["-n", &ranks.to_string()]), mode, folder)
}

fn job_by(launcher: &mut Command, mode: &str, folder: &Path) -> Output {
    let own = std::env::current_exe().expect("the test knows where it is");
    launcher.arg(own).args(["rank", mode]).arg(folder).env("RAYON_NUM_THREADS", "1");
    // A pipe would stay open as long as the launcher's daemon on a machine that is cut off.
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.join(name));
    let to = |path| File::create(path).expect("a file for what it says");
    let status = launcher.stdout(to(&stdout)).stderr(to(&stderr)).status();
    let status = status.expect("mpirun starts: apt-get install openmpi-bin");
    let [stdout, stderr] = [stdout, stderr].map(|path| std::fs::read(path).expect("what it said"));
    Output { status, stdout, stderr }
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn weights(folder: &Path) -> StateDict {
    checkpoint::read(folder.join("weights.safetensors")).expect("rank 0 has written them")
}

/// The weights that so many ranks come to without a fault.
fn learned(ranks: usize) -> StateDict {
    learned_by(ranks, "learn")
}

fn learned_by(ranks: usize, mode: &str) -> StateDict {
    let folder = tempfile::tempdir().expect("a folder");
    let output = job(ranks, mode, folder.path());
    assert!(output.status.success(), "{ranks} ranks: {}", said(&output));
    weights(folder.path())
}

/// The largest difference of two models' values.
fn apart(one: &StateDict, other: &StateDict) -> f32 {
    let each = one.iter().map(|(path, value)| match (&value.values, &other[path].values) {
        (Values::F32(a), Values::F32(b)) => a.iter().zip(b).fold(0.0f32, |far, (a, b)| far.max((a - b).abs())),
        (a, b) => f32::from(u8::from(a != b)),
    });
    each.fold(0.0, f32::max)
}

fn learn() -> Result<(), Failed> {
    let [one, two, four] = [1, 2, 4].map(learned);
    for (ranks, several) in [(2, &two), (4, &four)] {
        let far = apart(&one, several);
        assert!(far < 1e-4, "the weights of {ranks} ranks are {far} from those of one");
    }
    assert!(learned(2) == two, "two ranks come to other bits the second time");
    Ok(())
}

fn options() -> Result<(), Failed> {
    let one = learned(1);
    for (mode, most) in [("sharded", 1e-4), ("halves", 1e-2)] {
        for ranks in [2, 3] {
            let several = learned_by(ranks, mode);
            let far = apart(&one, &several);
            assert!(far < most, "{mode}: the weights of {ranks} ranks are {far} from those of one");
            assert!(learned_by(ranks, mode) == several, "{mode}: {ranks} ranks come to other bits the second time");
        }
    }
    // Each learns well enough, which it looks at itself.
    assert!(learned_by(2, "diloco") == learned_by(2, "diloco"), "local steps come to other bits the second time");
    Ok(())
}

/// A rank fails in the midst of a run; the others end too, and the run goes on from there to the bits of one without a fault.
fn all_end(mode: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir().expect("a folder");
    let ranks = if mode == "sleep" { 4 } else { 2 };
    let output = match mode {
        ranks::CUT => Machines::new().expect("there were some").job(|mpirun| job_by(mpirun, mode, folder.path())),
        _ => job(ranks, mode, folder.path()),
    };
    let failed = folder.path().join("failed").metadata().and_then(|file| file.modified()).expect("it has failed");
    let took = failed.elapsed().expect("it was before");
    let (text, rank) = (said(&output), ranks - 1);
    assert!(!output.status.success() && took < DEADLINE, "{:?} after {took:?}: {text}", output.status);
    let due = match mode {
        "exit" => format!("rank {rank} of {ranks} on .. its process exits"),
        // These are told by the launcher.
        "kill" if is_open_mpi() => format!("process rank {rank} with PID"),
        "kill" => "BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES".to_string(),
        ranks::CUT => "ORTE has lost communication with a remote daemon".to_string(),
        "panic" => format!("rank {rank} of {ranks} on .. panicked: by chance"),
        "error" => format!("rank {rank} of {ranks} on .. the disk is full"),
        "sleep" => format!("rank {rank} has done nothing for"),
        // The writer's.
        "disk" => format!("rank 0 of {ranks} on .. No space left"),
        "stop" => format!("nothing was heard of rank {rank} for"),
        _ => format!("rank {rank} has ended, and this one has not"),
    };
    let found = due.split(" .. ").all(|part| text.contains(part));
    assert!(found, "`{due}` is not said: {text}");
    if mode == "other" {
        return Ok(());
    }
    let output = job(ranks, "resume", folder.path());
    assert!(output.status.success(), "{}", said(&output));
    assert!(weights(folder.path()) == learned(ranks), "the run that went on came to other weights");
    Ok(())
}

fn unknown() -> Result<(), Failed> {
    let (own, folder) =
        (std::env::current_exe().expect("the test knows where it is"), tempfile::tempdir().expect("a folder"));
    let output = Command::new(own).args(["rank", "learn"]).arg(folder.path()).env("WORLD_SIZE", "4").output();
    let output = output.expect("it starts");
    let text = said(&output);
    assert!(
        !output.status.success()
            && text.contains("WORLD_SIZE says that 4 processes were started, and MPI knows of one"),
        "{text}"
    );
    Ok(())
}
