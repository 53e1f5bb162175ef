//! The server of a saved network, asked over HTTP.

use crate::model;
use crate::program::started;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use wgrad::deploy::Description;
use wgrad::nn::{Ctx, Init, Layer, Linear};
use wgrad::{DType, Device, Tensor, checkpoint};

/// Ends the server, whatever happens.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(address: &str, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let length = body.len();
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a code");
    (code, answer.split_once("\r\n\r\n").expect("an end of the head").1.to_string())
}

#[test]
fn pictures_are_answered_as_the_network_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let (weights, device) = (folder.path().join("w.safetensors"), Device::cpu());
    let cnn = model::Cnn::new(&mut Init::new(4, &device));
    let picture = Tensor::full([1, 1, 28, 28], 0u8, &device);
    let pass = |[x]: [&Tensor; 1], ctx: &Ctx| cnn.forward(&x.cast(DType::F32).affine(1.0 / 255.0, 0.0), ctx).softmax(1);
    let description = Description::of_pass(&cnn, [&picture], pass).expect("it can be described");
    let digits = (0..10).map(|digit| digit.to_string());
    description.classes(digits).expect("ten").save(&weights).expect("it can be saved");
    let mut server = Running(started("serve", &[&"--device=cpu", &"--listen=127.0.0.1:0", &"--load", &weights]));
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().expect("it is read")).read_line(&mut line).expect("it says where it is");
    let address = line.trim().strip_prefix("listening at http://").and_then(|rest| rest.strip_suffix('/'));
    let address = address.unwrap_or_else(|| panic!("{line:?}")).to_string();

    let (code, page) = ask(&address, "GET /", &[]);
    assert!(code == 200 && page.contains("<canvas") && page.contains("predict"), "{code}");
    assert_eq!(ask(&address, "GET /?q=1", &[]), (200, page));
    assert_eq!(ask(&address, "HEAD /", &[]), (200, String::new()));
    let picture = |of: usize| -> Vec<u8> { (0..784).map(|at| (at * (of + 3) % 251) as u8).collect() };
    let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..12)
            .map(|of| {
                scope.spawn({
                    let address = &address;
                    move || ask(address, "POST /predict", &picture(of))
                })
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().expect("no panic")).collect()
    });
    for (of, (code, answer)) in answers.iter().enumerate() {
        let pixels = picture(of).iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let x = Tensor::from_vec(pixels, [1, 1, 28, 28], &device);
        let shares = cnn.forward(&x, &Ctx::eval()).softmax(1).to_vec::<f32>().expect("the device works");
        let told: serde_json::Value = serde_json::from_str(answer).expect("JSON");
        let digit = (0..10).max_by(|&a, &b| shares[a].total_cmp(&shares[b])).expect("ten");
        assert!(*code == 200 && told["digit"] == digit, "{answer} {shares:?}");
        for (want, got) in shares.iter().zip(told["probabilities"].as_array().expect("a list")) {
            assert!((f64::from(*want) - got.as_f64().expect("a number")).abs() < 1e-3, "{answer} {shares:?}");
        }
    }
    let (code, text) = ask(&address, "POST /predict", &[1, 2, 3]);
    assert!(code == 400 && text.contains("expected the 784 bytes of 28 x 28 pixels, got 3"), "{code} {text}");
    assert!(ask(&address, "POST /predict", &[0; 9999]).1.contains("got more"));
    assert_eq!(ask(&address, "GET /other", &[]).0, 404);

    let same: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--device=cpu", &"--load", &weights, &"--listen"];
    crate::program::run("serve", &[], &[&same[..], &[&address]].concat()).refuses(&["cannot listen there"]);
    crate::program::run("serve", &[], &[&"--device=cpu", &"--load=none"]).refuses(&["none: cannot be read"]);
    let (alone, other) = (folder.path().join("alone.safetensors"), folder.path().join("other.safetensors"));
    checkpoint::save(&cnn, &alone).expect("it can be saved");
    crate::program::run("serve", &[], &[&"--device=cpu", &"--load", &alone]).refuses(&["no description of a model"]);
    let line = Linear::new(3, 10, &mut Init::new(0, &device));
    Description::of(&line, &Tensor::ones([1, 3], &device)).expect("a model").save(&other).expect("it can be saved");
    crate::program::run("serve", &[], &[&"--device=cpu", &"--load", &other]).refuses(&["is no network for digits"]);
}
