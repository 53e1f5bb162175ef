//! A small HTTP server on loopback that answers by script, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What one request is answered with.
#[derive(Clone, Copy)]
pub enum Reply {
    /// The file, or the part that the request's range names.
    Serve,
    /// As `Serve`, but the connection closes after so many bytes of the body.
    Cut(usize),
    /// The whole file, whatever range was asked for.
    Whole,
    /// The whole file without its length; the end of the connection ends it.
    Unmeasured,
    /// A range from the first byte, whatever range was asked for.
    WrongRange,
    /// Only a status.
    Status(u16),
}

/// The server; its thread ends with its script, or with the test.
pub struct Server {
    /// What an address on it starts with.
    pub mirror: String,
    ranges: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    /// Answers one connection for each reply; later ones find nothing listening.
    pub fn start(file: &[u8], script: &[Reply]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = format!("http://{}/files/", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (file, script, log) = (file.to_vec(), script.to_vec(), Arc::clone(&ranges));
        thread::spawn(move || {
            for reply in script {
                let (mut stream, _) = listener.accept().unwrap();
                let range = read_request(&stream);
                log.lock().unwrap().push(range);
                // A client may leave before the end.
                let _ = answer(&mut stream, &file, range, reply);
            }
        });
        Server { mirror, ranges }
    }

    /// For each request so far, where its range started if it had one.
    pub fn ranges(&self) -> Vec<Option<usize>> {
        self.ranges.lock().unwrap().clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<usize> {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "GET /files/data.gz HTTP/1.1");
    let mut range = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(bytes) = line.to_lowercase().strip_prefix("range: bytes=") {
            range = Some(bytes.strip_suffix('-').unwrap().parse().unwrap());
        }
    }
    range
}

fn answer(stream: &mut TcpStream, file: &[u8], range: Option<usize>, reply: Reply) -> std::io::Result<()> {
    let (status, start, end, length) = match (reply, range) {
        (Reply::Status(status), _) => (status, 0, 0, true),
        (Reply::Unmeasured, _) => (200, 0, file.len(), false),
        (Reply::Whole, _) | (_, None) => (200, 0, file.len(), true),
        (_, Some(start)) if start >= file.len() => (416, 0, 0, true),
        (Reply::WrongRange, Some(_)) => (206, 0, file.len(), true),
        (_, Some(start)) => (206, start, file.len(), true),
    };
    write!(stream, "HTTP/1.1 {status} Reply\r\nConnection: close\r\n")?;
    if length {
        write!(stream, "Content-Length: {}\r\n", end - start)?;
    }
    if status == 206 {
        write!(stream, "Content-Range: bytes {start}-{}/{}\r\n", end - 1, file.len())?;
    }
    let body = match reply {
        Reply::Cut(bytes) => &file[start..end][..bytes],
        _ => &file[start..end],
    };
    stream.write_all(b"\r\n")?;
    stream.write_all(body)
}
