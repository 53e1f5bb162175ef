//! Images of 32 x 32 that lie side by side in one picture.

use std::io::Cursor;
use wgrad::data::ImageSet;
use wgrad::{Error, Result};

/// The images of a PNG file, a label for each: they lie from left to right and from the top down, each as a tile whose
/// `[width, height]` has 1,024 pixels.
pub fn images(name: &str, png: &[u8], tile: [usize; 2], labels: Vec<u8>) -> Result<ImageSet> {
    let broken = |error: png::DecodingError| Error::Data(format!("{name}: is no whole PNG file ({error})"));
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().map_err(broken)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let across = width / tile[0];
    let fits = [across * tile[0], height / tile[1] * tile[1]] == [width, height]
        && across * (height / tile[1]) == labels.len();
    if !fits || reader.output_color_type() != (png::ColorType::Rgb, png::BitDepth::Eight) {
        let count = labels.len();
        let text = format!("{name}: its {width} x {height} pixels are not {count} images of 32 x 32 in three colours");
        return Err(Error::Data(text));
    }
    let mut colours = vec![0; 3 * width * height];
    reader.next_frame(&mut colours).map_err(broken)?;

    let mut pixels = Vec::with_capacity(colours.len());
    for image in 0..labels.len() {
        let (left, top) = (image % across * tile[0], image / across * tile[1]);
        for colour in 0..3 {
            let place = |i: usize| (top + i / tile[0]) * width + left + i % tile[0];
            pixels.extend((0..32 * 32).map(|i| colours[place(i) * 3 + colour]));
        }
    }
    ImageSet::new([3, 32, 32], 10, pixels, labels).map_err(|error| Error::Data(format!("{name}: {error}")))
}
