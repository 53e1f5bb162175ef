//! Downloads: resumed, checked, from the first mirror that has the file.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use wgrad::data::download::{RemoteFile, fetch};
use wgrad::{Error, Rng};

use super::server::{Reply, Server};

/// What the file holds: 300,000 bytes that do not compress.
fn contents() -> Vec<u8> {
    let mut rng = Rng::new(3);
    (0..75_000).flat_map(|_| rng.next_u32().to_le_bytes()).collect()
}

fn packed(level: u32) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(&contents()).unwrap();
    encoder.finish().unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fetch_from(mirrors: &[&str], folder: &Path) -> Result<Vec<u8>, Error> {
    let sha256 = sha256(&contents());
    let file = RemoteFile { name: "data.gz", mirrors, sha256: &sha256, size: 300_000 };
    let path = fetch(&file, folder, &mut |done, total| assert!(done <= total, "{done} of {total}"))?;
    assert_eq!(path, folder.join("data.gz"));
    assert!(!folder.join("data.gz.part").exists());
    Ok(fs::read(path).unwrap())
}

/// The error's sentence, when nothing may be left behind but what `part` says.
#[track_caller]
fn network_error(mirrors: &[&str], folder: &Path) -> String {
    let Err(Error::Network { problem: text, .. }) = fetch_from(mirrors, folder) else { panic!("no network error") };
    assert!(!folder.join("data.gz").exists());
    assert!(!text.contains('\n'), "{text}");
    assert!(text.starts_with("data.gz: ") && text.contains("by other means into"), "{text}");
    text
}

/// Addresses where nothing listens: ports that no system gives out.
const NOBODY: [&str; 2] = ["http://127.0.0.1:1/files/", "http://127.0.0.1:2/files/"];

#[test]
fn a_file_is_fetched_once() {
    let file = packed(6);
    let server = Server::start(&file, &[Reply::Serve, Reply::Serve]);
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("made/on/the/way");
    assert_eq!(fetch_from(&[&server.mirror], &inner).unwrap(), file);
    assert_eq!(fetch_from(&[&server.mirror], &inner).unwrap(), file);
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn progress_ends_with_all_bytes() {
    let file = packed(6);
    let server = Server::start(&file, &[Reply::Cut(100_000), Reply::Serve]);
    let folder = tempfile::tempdir().unwrap();
    let sha256 = sha256(&contents());
    let remote = RemoteFile { name: "data.gz", mirrors: &[&server.mirror], sha256: &sha256, size: 300_000 };
    let mut steps = Vec::new();
    fetch(&remote, folder.path(), &mut |done, total| steps.push((done, total))).unwrap();
    let size = file.len() as u64;
    assert_eq!((steps[0], *steps.last().unwrap()), ((0, size), (size, size)));
    assert!(steps.is_sorted() && steps.len() > 3, "{steps:?}");
}

#[test]
fn any_compression_is_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    for file in [packed(1), contents()] {
        let server = Server::start(&file, &[Reply::Serve]);
        assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
        fs::remove_file(folder.path().join("data.gz")).unwrap();
    }
}

#[test]
fn a_cut_connection_is_resumed_in_the_same_call() {
    let file = packed(6);
    let server = Server::start(&file, &[Reply::Cut(100_000), Reply::Cut(50_000), Reply::Serve]);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
    assert_eq!(server.ranges(), [None, Some(100_000), Some(150_000)]);
}

#[test]
fn a_broken_download_is_resumed_by_the_next_call() {
    let file = packed(6);
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&file, &[Reply::Cut(100_000)]);
    let text = network_error(&[&server.mirror], folder.path());
    assert!(text.contains(&server.mirror), "{text}");
    assert_eq!(fs::read(folder.path().join("data.gz.part")).unwrap(), file[..100_000]);
    let server = Server::start(&file, &[Reply::Serve]);
    assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
    assert_eq!(server.ranges(), [Some(100_000)]);
}

#[test]
fn a_server_that_breaks_every_time_is_left() {
    let file = packed(6);
    let script = [Reply::Cut(10); 9];
    let server = Server::start(&file, &script);
    let folder = tempfile::tempdir().unwrap();
    let text = network_error(&[&server.mirror], folder.path());
    assert!(text.contains(&format!("it stopped after 50 of {} bytes", file.len())), "{text}");
    assert_eq!(server.ranges().len(), 5);
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let file = packed(6);
    for reply in [Reply::Whole, Reply::Unmeasured] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data.gz.part"), &file[..100_000]).unwrap();
        let server = Server::start(&file, &[reply]);
        assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
        assert_eq!(server.ranges(), [Some(100_000)]);
    }
}

#[test]
fn a_range_that_does_not_fit_starts_anew() {
    let file = packed(6);
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("data.gz.part");
    fs::write(&part, &file[..100_000]).unwrap();
    let server = Server::start(&file, &[Reply::WrongRange, Reply::Serve]);
    assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
    assert_eq!(server.ranges(), [Some(100_000), None]);
    // A part as long as the file has no range left: the server answers 416.
    fs::remove_file(folder.path().join("data.gz")).unwrap();
    fs::write(&part, vec![0; file.len()]).unwrap();
    let server = Server::start(&file, &[Reply::Serve, Reply::Serve]);
    assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
    assert_eq!(server.ranges(), [Some(file.len()), None]);
}

#[test]
fn a_part_of_something_else_is_fetched_again_from_the_start() {
    let file = packed(6);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.gz.part"), [7; 1000]).unwrap();
    let server = Server::start(&file, &[Reply::Serve, Reply::Serve]);
    assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
    assert_eq!(server.ranges(), [Some(1000), None]);
}

#[test]
fn a_wrong_file_on_disk_is_replaced() {
    let file = packed(6);
    let folder = tempfile::tempdir().unwrap();
    for wrong in [&b"wrong"[..], &file[..1000], &[]] {
        fs::write(folder.path().join("data.gz"), wrong).unwrap();
        let server = Server::start(&file, &[Reply::Serve]);
        assert_eq!(fetch_from(&[&server.mirror], folder.path()).unwrap(), file);
    }
}

#[test]
fn a_wrong_checksum_is_told_and_removed() {
    let mut wrong = contents();
    wrong[12_345] ^= 1;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&wrong, &[Reply::Serve]);
    let text = network_error(&[&server.mirror], folder.path());
    assert!(text.contains(&format!("SHA-256 is {}, not {}", sha256(&wrong), sha256(&contents()))), "{text}");
    assert!(text.contains("removed") && !folder.path().join("data.gz.part").exists(), "{text}");
    // Gzip data that breaks off, from a server that does not say how long the file is.
    let server = Server::start(&packed(6)[..5000], &[Reply::Unmeasured]);
    let text = network_error(&[&server.mirror], folder.path());
    assert!(text.contains("cannot be unpacked") && !folder.path().join("data.gz.part").exists(), "{text}");
}

#[test]
fn a_file_that_never_ends_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&vec![0; 3_000_000], &[Reply::Unmeasured]);
    let text = network_error(&[&server.mirror], folder.path());
    assert!(text.contains("sends more than the 300000 bytes"), "{text}");
    assert!(!folder.path().join("data.gz.part").exists());
}

#[test]
fn the_second_mirror_helps_where_the_first_fails() {
    let file = packed(6);
    let folder = tempfile::tempdir().unwrap();
    for reply in [Reply::Status(404), Reply::Status(500)] {
        let first = Server::start(&file, &[reply]);
        let second = Server::start(&file, &[Reply::Serve]);
        assert_eq!(fetch_from(&[&first.mirror, NOBODY[0], &second.mirror], folder.path()).unwrap(), file);
        assert_eq!((first.ranges(), second.ranges()), (vec![None], vec![None]));
        fs::remove_file(folder.path().join("data.gz")).unwrap();
    }
}

#[test]
fn a_page_sent_with_an_error_status_is_not_the_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.gz.part"), &packed(6)[..1000]).unwrap();
    let server = Server::start(b"", &[Reply::Status(503)]);
    let text = network_error(&[&server.mirror], folder.path());
    assert!(text.contains("HTTP status 503"), "{text}");
    assert_eq!(fs::read(folder.path().join("data.gz.part")).unwrap(), packed(6)[..1000], "what was there is kept");
}

#[test]
fn without_a_network_every_address_is_named() {
    let [one, two] = NOBODY;
    let folder = tempfile::tempdir().unwrap();
    let text = network_error(&[one, two], folder.path());
    assert!(text.contains(&format!("{one}data.gz (")) && text.contains(&format!("{two}data.gz (")), "{text}");
    assert!(text.contains("fetch it by other means"), "{text}");
    assert!(network_error(&[], folder.path()).contains("none is known"));
}

#[test]
fn a_folder_that_cannot_be_made_is_a_file_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "in the way").unwrap();
    assert!(
        matches!(fetch_from(&NOBODY, &file), Err(Error::File { problem, .. }) if problem.contains("cannot be made"))
    );
}
