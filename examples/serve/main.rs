//! Serves a network that the example `mnist` has trained: a page to draw digits on, and an address that programs ask. It knows
//! nothing of the network: what that computes stands in its file.
//!
//!     cargo run --release --example mnist -- --save mnist.safetensors
//!     cargo run --release --example serve -- --load mnist.safetensors
//!
//! It prints where it listens, `http://127.0.0.1:8080/`. A request is the 784 pixels of a picture, row by row, a byte each:
//!
//!     curl --data-binary @pixels http://127.0.0.1:8080/predict
//!     {"digit":7,"probabilities":[0.0000,..]}
//!
//! Requests that come while the device works are answered together, by one pass.

#[path = "../program/start.rs"]
mod start;

use clap::Parser;
use start::{DeviceChoice, note, say, start};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use tiny_http::{Header, Method, Request, Response, Server};
use wgrad::deploy::{self, Model};
use wgrad::{DType, Device, Error, Result, Tensor};

/// Answers what digit a picture shows, over HTTP.
#[derive(Parser)]
struct Args {
    /// The network that the example mnist saved.
    #[arg(long, value_name = "FILE")]
    load: PathBuf,
    /// Where to compute: auto takes a GPU, else the CPU; gpu takes a software adapter too.
    #[arg(long, value_enum, default_value = "auto")]
    device: DeviceChoice,
    /// The address to listen at; port 0 takes one that is free.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// The most pictures of one pass.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,
}

/// Threads that read requests: so many may wait for an answer at once.
const READERS: usize = 64;

/// The bytes of a picture.
const PIXELS: usize = 28 * 28;

/// A picture, and where its answer goes.
struct Asked {
    pixels: Vec<u8>,
    answer: Sender<Vec<f32>>,
}

fn main() -> ExitCode {
    start(|| run(&Args::parse()))
}

fn run(args: &Args) -> Result<()> {
    let device = args.device.open()?;
    note!("device: {device}: {}", device.why());
    let model = deploy::load_on(&args.load, &device)?;
    let fits = matches!(model.inputs(), [input] if input.item == [1, 28, 28] && input.dtype == DType::U8);
    if !fits || model.classes().len() != 10 {
        let problem = "is no network for digits in pictures of 28 x 28 bytes: the example mnist saves one";
        return Err(Error::file(&args.load, problem));
    }
    let server = Server::http(&args.listen)
        .map_err(|error| Error::Option(format!("--listen {}: cannot listen there: {error}", args.listen)))?;
    say!("listening at http://{}/", server.server_addr())?;

    let (server, (ask, asked)) = (Arc::new(server), channel());
    for _ in 0..READERS {
        let (server, ask) = (server.clone(), ask.clone());
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                // Who has hung up needs no answer.
                let _ = answer(request, &ask);
            }
        });
    }
    drop(ask);
    serve(&model, &asked, usize::from(args.batch_size), &device)
}

/// Answers pictures by passes, each of as many as are there.
fn serve(model: &Model, asked: &Receiver<Asked>, most: usize, device: &Device) -> Result<()> {
    while let Ok(first) = asked.recv() {
        let all: Vec<Asked> = std::iter::once(first).chain(asked.try_iter().take(most - 1)).collect();
        let pixels: Vec<u8> = all.iter().flat_map(|one| &one.pixels).copied().collect();
        let x = Tensor::from_vec(pixels, [all.len(), 1, 28, 28], device);
        let shares = model.predict(&x)?.to_vec::<f32>()?;
        for (one, shares) in all.iter().zip(shares.chunks(10)) {
            let _ = one.answer.send(shares.to_vec());
        }
    }
    Ok(())
}

/// Reads one request and answers it.
fn answer(mut request: Request, ask: &Sender<Asked>) -> std::io::Result<()> {
    let (method, url) = (request.method().clone(), request.url().to_string());
    let path = url.split('?').next().unwrap_or_default();
    let (code, kind, text) = match (method, path) {
        // The answer to HEAD is sent without its text.
        (Method::Get | Method::Head, "/") => (200, "text/html; charset=utf-8", include_str!("page.html").to_string()),
        (Method::Post, "/predict") => {
            let mut pixels = Vec::new();
            // One byte more than fits, so that too many are seen without being read.
            std::io::Read::read_to_end(&mut std::io::Read::take(request.as_reader(), PIXELS as u64 + 1), &mut pixels)?;
            match predicted(pixels, ask) {
                Ok(text) => (200, "application/json", text),
                Err(problem) => (400, "text/plain; charset=utf-8", problem),
            }
        }
        _ => (404, "text/plain; charset=utf-8", "expected GET / or POST /predict\n".to_string()),
    };
    let header = Header::from_bytes("Content-Type", kind).expect("a header of ASCII");
    request.respond(Response::from_string(text).with_status_code(code).with_header(header))
}

/// The answer to a picture as JSON, or what is wrong with it.
fn predicted(pixels: Vec<u8>, ask: &Sender<Asked>) -> std::result::Result<String, String> {
    if pixels.len() != PIXELS {
        let got = if pixels.len() > PIXELS { "more".to_string() } else { pixels.len().to_string() };
        return Err(format!("expected the {PIXELS} bytes of 28 x 28 pixels, got {got}\n"));
    }
    let (answer, told) = channel();
    ask.send(Asked { pixels, answer }).map_err(|_| "the server is ending\n".to_string())?;
    let shares = told.recv().map_err(|_| "the server is ending\n".to_string())?;
    let digit = (0..10).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).unwrap_or(0);
    let list: Vec<String> = shares.iter().map(|share| format!("{share:.4}")).collect();
    Ok(format!("{{\"digit\":{digit},\"probabilities\":[{}]}}\n", list.join(",")))
}
