//! Writes that cannot succeed: each says so, leaves what was there, and leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use wgrad::nn::{StateDict, StateTensor, Values};
use wgrad::{Error, checkpoint};

fn state() -> StateDict {
    StateDict::from([("w".to_string(), StateTensor { shape: vec![3], values: Values::F32(vec![1.0, 2.0, 3.0]) })])
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let name =
        |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name().into_string().expect("UTF-8");
    let mut names: Vec<String> = fs::read_dir(folder).expect("a folder").map(name).collect();
    names.sort();
    names
}

#[track_caller]
fn file_error<T: std::fmt::Debug>(result: wgrad::Result<T>, path: &Path) -> String {
    let Err(error @ Error::File { .. }) = result else { panic!("{}: {result:?}", path.display()) };
    assert!(std::error::Error::source(&error).is_some(), "{error:?}: the system's own error lies behind it");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{}: cannot be written: ", path.display())), "{text}");
    assert!(!text.contains('\n'), "{text}");
    text
}

/// Where a file is written before it takes its name.
fn part_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.{}.part", path.display(), std::process::id()))
}

#[test]
fn a_whole_file_replaces_an_older_one_and_nothing_else_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    fs::write(&path, "older and longer than what comes".repeat(99)).expect("it can be written");
    checkpoint::check_writable(&path).expect("it can be");
    assert_eq!(fs::read(&path).expect("it is there").len(), 99 * 32, "a check changes nothing");
    for _ in 0..2 {
        checkpoint::write(&state(), &path).expect("it can be written");
        assert_eq!(checkpoint::read(&path), Ok(state()));
        assert_eq!(names(folder.path()), ["w.safetensors"]);
    }
    let fresh = folder.path().join("fresh.safetensors");
    checkpoint::check_writable(&fresh).expect("it can be");
    assert_eq!(names(folder.path()), ["w.safetensors"], "a check leaves nothing");
}

#[test]
fn paths_that_cannot_be_written_are_told_before_and_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "older").expect("it can be written");
    fs::create_dir(folder.path().join("sub")).expect("it can be made");
    let before = names(folder.path());
    let slash = |name: &str| folder.path().join(format!("{name}{}", std::path::MAIN_SEPARATOR));
    for path in [
        folder.path().join("none/w.safetensors"),
        file.join("w.safetensors"),
        folder.path().join("sub"),
        folder.path().join("sub/.."),
        slash("sub"),
        slash("new"),
        PathBuf::from(""),
    ] {
        for result in [checkpoint::check_writable(&path), checkpoint::write(&state(), &path)] {
            file_error(result, &path);
        }
        assert_eq!(names(folder.path()), before, "{}", path.display());
        assert_eq!(names(&folder.path().join("sub")), Vec::<String>::new(), "{}", path.display());
        assert_eq!(fs::read_to_string(&file).expect("it is there"), "older");
    }
}

#[test]
fn a_write_that_cannot_start_leaves_the_older_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    fs::write(&path, "older").expect("it can be written");
    fs::create_dir(part_of(&path)).expect("it can be made");
    let text = file_error(checkpoint::write(&state(), &path), &path);
    assert!(text.ends_with("an older file is as it was"), "{text}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "older");
    file_error(checkpoint::check_writable(&path), &path);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_the_older_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    fs::write(&path, "older").expect("it can be written");
    std::os::unix::fs::symlink("/dev/full", part_of(&path)).expect("it can be linked");
    let text = file_error(checkpoint::write(&state(), &path), &path);
    assert!(text.contains("No space left") && text.ends_with("an older file is as it was"), "{text}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "older");
    assert_eq!(names(folder.path()), ["w.safetensors"], "the part is gone");
}

/// A rename would put a file in the device's place.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).expect("it can be bound");
    for result in [checkpoint::check_writable(&path), checkpoint::write(&state(), &path)] {
        let text = file_error(result, &path);
        assert!(text.contains("no regular file"), "{text}");
    }
    assert_eq!(names(folder.path()), ["socket"]);
    assert!(!fs::metadata(&path).expect("it is there").is_file());
}

/// The file that a link names is written, be it there or not, and the link stays; a mode stays too.
#[cfg(unix)]
#[test]
fn links_and_modes_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().expect("a folder");
    let sub = folder.path().join("sub");
    fs::create_dir(&sub).expect("it can be made");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let (link, second, real) = (folder.path().join("link"), folder.path().join("second"), sub.join("w.safetensors"));
    symlink("sub/w.safetensors", &link).expect("it can be linked");
    symlink(&link, &second).expect("it can be linked");
    for (path, bits) in [(&link, None), (&second, Some(0o600)), (&real, Some(0o640)), (&link, Some(0o444))] {
        if let Some(bits) = bits {
            fs::set_permissions(&real, fs::Permissions::from_mode(bits)).expect("it is ours");
        }
        checkpoint::check_writable(path).expect("it can be");
        checkpoint::write(&state(), path).expect("it can be written");
        assert!(link.is_symlink() && second.is_symlink() && !real.is_symlink());
        assert_eq!(checkpoint::read(path), Ok(state()));
        assert!(bits.is_none_or(|bits| mode(&real) == bits), "{:o}", mode(&real));
        assert_eq!((names(folder.path()).len(), names(&sub).len()), (3, 1));
    }
    let round = folder.path().join("round");
    symlink("round", &round).expect("it can be linked");
    file_error(checkpoint::write(&state(), &round), &round);
}

#[test]
fn threads_that_save_to_one_path_all_succeed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    checkpoint::write(&state(), &path).expect("it can be written");
                    checkpoint::check_writable(&path).expect("it can be");
                    assert_eq!(checkpoint::read(&path), Ok(state()));
                }
            });
        }
    });
    assert_eq!(names(folder.path()), ["w.safetensors"]);
}

#[test]
fn parts_of_killed_runs_are_removed_and_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    for name in ["w.safetensors.123456789.part", "w.safetensors.1.part"] {
        fs::write(folder.path().join(name), "half a f").expect("it can be written");
    }
    let others = ["w.safetensors.old.part", "w.safetensors.part", "v.safetensors.7.part", "w.safetensors.8.part.gz"];
    others.iter().for_each(|name| fs::write(folder.path().join(name), "mine").expect("it can be written"));
    // This one is being written.
    let busy = fs::File::create(folder.path().join("w.safetensors.9.part")).expect("it can be made");
    busy.lock().expect("it can be locked");
    checkpoint::write(&state(), &path).expect("it can be written");
    let mut want: Vec<&str> = [&others[..], &["w.safetensors", "w.safetensors.9.part"]].concat();
    want.sort_unstable();
    assert_eq!(names(folder.path()), want);
}
