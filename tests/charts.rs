//! Charts as PNG files: the feature `charts`.

use std::io::BufReader;
use wgrad::train::Chart;

#[test]
fn a_chart_is_a_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("loss.png");
    let losses = (0..50).map(|step| (f64::from(step), 1.0 / (1.0 + f64::from(step))));
    match Chart::new("loss").over("step").log().curve("train", losses).save(&path) {
        Err(wgrad::Error::Option(text)) if text.contains("no fonts") => return println!("not drawn: {text}"),
        saved => saved.expect("it can be written"),
    }
    let file = BufReader::new(std::fs::File::open(&path).expect("it is there"));
    let mut png = png::Decoder::new(file).read_info().expect("a PNG file");
    let mut pixels = vec![0; png.output_buffer_size().expect("it has a size")];
    let head = png.next_frame(&mut pixels).expect("a whole one");
    assert_eq!((head.width, head.height, head.color_type), (1280, 640, png::ColorType::Rgba));
    let count = |colour: [u8; 4]| pixels.chunks(4).filter(|pixel| **pixel == colour).count();
    // White ground, the curve in its colour, and words.
    assert!(count([255; 4]) > 1280 * 640 / 2 && count([0, 0x72, 0xb2, 255]) > 500);
    assert!(count([0x76, 0x76, 0x76, 255]) > 200);
}
