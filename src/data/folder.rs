//! Pictures in folders, one for each class.

use super::dataset::Dataset;
use super::item::Array;
use crate::error::{Error, Result};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// PNG files in folders whose names are the classes: `cats/1.png`, `dogs/2.png`. Each is read when it is asked for, best by
/// several [workers](super::LoaderOptions::workers). An item is `[channels, height, width]` from 0 to 1, and its label.
///
/// ```no_run
/// use wgrad::data::{DataLoader, ImageFolder, LoaderOptions};
/// let pictures = ImageFolder::open("pictures", [3, 64, 64])?;
/// println!("{:?}", pictures.classes());
/// let loader = DataLoader::new(pictures, LoaderOptions { shuffle: Some(7), workers: 4, ..LoaderOptions::default() })?;
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ImageFolder {
    shape: [usize; 3],
    classes: Vec<String>,
    files: Vec<(PathBuf, i32)>,
}

impl ImageFolder {
    /// Of a folder, with pictures brought to one size `[channels, height, width]`: grey ones have one channel, coloured ones
    /// three. What is no PNG file is left out; a picture that is damaged is told when it is read.
    ///
    /// # Errors
    /// [`Error::Option`] if the shape is none of pictures; [`Error::File`] if there is no folder of a class, or one of them has
    /// no picture.
    pub fn open(folder: impl AsRef<Path>, shape: [usize; 3]) -> Result<ImageFolder> {
        let folder = folder.as_ref();
        if !matches!(shape[0], 1 | 3) || shape.contains(&0) {
            return Err(Error::Option(format!("ImageFolder: pictures of {shape:?}: expected [1 or 3, height, width]")));
        }
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
            let is_png = |path: &PathBuf| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
            let own: Vec<PathBuf> = entries(&class)?.into_iter().filter(is_png).collect();
            if own.is_empty() {
                return Err(Error::file(class, "has no PNG file: a class needs pictures"));
            }
            files.extend(own.into_iter().map(|path| (path, classes.len() as i32)));
            classes.push(class.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        match classes.is_empty() {
            true => Err(Error::file(folder, "has no folder in it: expected one for each class")),
            false => Ok(ImageFolder { shape, classes, files }),
        }
    }

    /// The names of the classes, in the order of labels, which is that of the alphabet.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The label of each picture, for [`stratified_split`](Dataset::stratified_split).
    pub fn labels(&self) -> Vec<i32> {
        self.files.iter().map(|(_, label)| *label).collect()
    }

    /// The file of a picture.
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    pub fn path(&self, row: usize) -> &Path {
        &self.files[row].0
    }
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let found = fs::read_dir(folder).map_err(|error| Error::file_because(folder, "cannot be read", error))?;
    let mut paths: Vec<PathBuf> = found.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

impl Dataset for ImageFolder {
    type Item = (Array, i32);

    fn len(&self) -> usize {
        self.files.len()
    }

    fn get(&self, row: usize) -> Result<(Array, i32)> {
        let (path, label) = &self.files[row];
        Ok((Array::new(read(path, self.shape)?, self.shape), *label))
    }
}

/// A picture in 0..1, brought to a size and to one or three channels.
fn read(path: &Path, [channels, height, width]: [usize; 3]) -> Result<Vec<f32>> {
    let broken = |error: png::DecodingError| Error::file(path, format!("is no whole PNG file: {error}"));
    let file = fs::File::open(path).map_err(|error| Error::file_because(path, "cannot be read", error))?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    // Palettes become colours, and 16 bits 8.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size().ok_or_else(|| Error::file(path, "is too large a picture for memory"))?;
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(broken)?;
    let (from, [wide, high]) = (frame.color_type.samples(), [frame.width as usize, frame.height as usize]);
    // Grey or colours, then perhaps opacity: a picture lies on black.
    let (colours, has_opacity) = (if from < 3 { 1 } else { 3 }, from % 2 == 0);
    let pixel = |x: usize, y: usize, channel: usize| {
        let own = &bytes[(y * wide + x) * from..][..from];
        let opacity = if has_opacity { f32::from(own[from - 1]) / 255.0 } else { 1.0 };
        let value = match (colours, channels) {
            (1, _) => f32::from(own[0]),
            (_, 3) => f32::from(own[channel]),
            // The brightness of colours (ITU-R BT.601).
            _ => 0.299 * f32::from(own[0]) + 0.587 * f32::from(own[1]) + 0.114 * f32::from(own[2]),
        };
        value / 255.0 * opacity
    };
    let (rows, columns) = (weights(high, height), weights(wide, width));
    let mut out = Vec::with_capacity(channels * height * width);
    for channel in 0..channels {
        for row in &rows {
            for column in &columns {
                let of_row =
                    |&(y, by): &(usize, f32)| by * column.iter().map(|&(x, by)| by * pixel(x, y, channel)).sum::<f32>();
                out.push(row.iter().map(of_row).sum());
            }
        }
    }
    Ok(out)
}

/// The pixels that each of `to` is made of, with their shares: linear between centres, over a wider stretch where a picture
/// becomes smaller, so that none is skipped.
fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f32)>> {
    let scale = from as f32 / to as f32;
    let reach = scale.max(1.0);
    let around = |at: usize| {
        let centre = (at as f32 + 0.5) * scale;
        let (first, last) = ((centre - reach).floor().max(0.0) as usize, ((centre + reach).ceil() as usize).min(from));
        let share = |pixel: usize| 1.0 - ((pixel as f32 + 0.5 - centre) / reach).abs();
        let own: Vec<(usize, f32)> =
            (first..last).map(|pixel| (pixel, share(pixel))).filter(|(_, share)| *share > 0.0).collect();
        let all: f32 = own.iter().map(|(_, share)| share).sum();
        own.into_iter().map(|(pixel, share)| (pixel, share / all)).collect()
    };
    (0..to).map(around).collect()
}
