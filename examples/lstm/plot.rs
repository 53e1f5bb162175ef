//! Curves as a picture.

use std::fmt::Write;
use std::path::Path;
use wgrad::{Error, Result};

const WIDTH: f32 = 720.0;
const HEIGHT: f32 = 360.0;
const LEFT: f32 = 60.0;
const TOP: f32 = 20.0;
const RIGHT: f32 = 700.0;
const BOTTOM: f32 = 310.0;
const COLOURS: [&str; 3] = ["#1f6feb", "#2da44e", "#d1242f"];

/// The powers of ten that the picture reaches over.
const DECADES: [f32; 2] = [-4.0, 0.0];

/// The steps that a point of a curve is the mean of.
const MEAN: usize = 20;

/// Draws each curve, errors on a logarithmic scale over steps, and its name.
pub fn write(path: &Path, curves: &[(&str, Vec<f32>)]) -> Result<()> {
    let steps = curves.iter().map(|(_, values)| values.len()).max().unwrap_or(1) as f32;
    let place = |step: f32, value: f32| {
        let decade = value.max(1e-9).log10().clamp(DECADES[0], DECADES[1]);
        let up = (decade - DECADES[0]) / (DECADES[1] - DECADES[0]);
        (LEFT + (RIGHT - LEFT) * step / steps, BOTTOM - (BOTTOM - TOP) * up)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for decade in DECADES[0] as i32..=DECADES[1] as i32 {
        let (_, y) = place(0.0, 10f32.powi(decade));
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y}H{RIGHT}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">1e{decade}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for part in 0..=4 {
        let step = steps * part as f32 / 4.0;
        let (x, y) = place(step, 1e-4);
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{step:.0}</text>", y + 18.0);
    }
    let _ = writeln!(svg, "<text x=\"380\" y=\"348\" text-anchor=\"middle\">steps; mean squared error</text>");
    for (at, ((name, values), colour)) in curves.iter().zip(COLOURS).enumerate() {
        let mut line = String::new();
        for (i, part) in values.chunks(MEAN).enumerate() {
            let (x, y) =
                place((i * MEAN) as f32 + part.len() as f32 / 2.0, part.iter().sum::<f32>() / part.len() as f32);
            let _ = write!(line, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        let _ = writeln!(svg, "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>");
        let y = TOP + 16.0 + 16.0 * at as f32;
        let _ =
            writeln!(svg, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>", RIGHT - 6.0);
    }
    svg += "</svg>\n";
    std::fs::write(path, svg).map_err(|problem| Error::file(path, problem))
}
