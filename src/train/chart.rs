//! Curves as pictures.

use crate::backend::whole;
use crate::error::{Error, Result};
use std::fmt::Write;
use std::path::Path;

/// The size of a picture, and its margins: left, right, above, below.
const SIZE: [f64; 2] = [640.0, 320.0];
const MARGINS: [f64; 4] = [58.0, 24.0, 30.0, 44.0];
/// Colours that most eyes tell apart (Okabe and Ito), on white and on black.
pub(super) const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9"];
/// The most points that a curve is drawn by: a picture has no more columns.
const POINTS: usize = 800;

/// Curves over one axis, as SVG: for a file, a page, or a README. It is legible on light ground and on dark.
///
/// ```
/// use wgrad::train::Chart;
/// let losses = (0..50).map(|step| (f64::from(step), 1.0 / (1.0 + f64::from(step))));
/// let svg = Chart::new("loss").over("step").log().curve("train", losses).to_svg();
/// assert!(svg.starts_with("<svg") && svg.contains("train"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Chart {
    title: String,
    over: String,
    log: bool,
    log_x: bool,
    curves: Vec<(String, Vec<(f64, f64)>)>,
    mark: Option<(f64, String)>,
}

impl Chart {
    /// With a title, which says what the curves tell.
    pub fn new(title: &str) -> Chart {
        Chart { title: title.into(), over: "step".into(), ..Chart::default() }
    }

    /// The name of the axis from left to right; `step`.
    #[must_use]
    pub fn over(self, name: &str) -> Chart {
        Chart { over: name.into(), ..self }
    }

    /// Values by their powers of ten. Those that are not above 0 are left out.
    #[must_use]
    pub fn log(self) -> Chart {
        Chart { log: true, ..self }
    }

    /// The other axis by powers of ten too.
    #[must_use]
    pub fn log_over(self) -> Chart {
        Chart { log_x: true, ..self }
    }

    /// Adds a curve of points from left to right. What is no finite number is a gap.
    #[must_use]
    pub fn curve(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Chart {
        self.curves.push((name.into(), points.into_iter().collect()));
        self
    }

    /// Marks a place of the axis with some words.
    #[must_use]
    pub fn mark(self, at: f64, words: &str) -> Chart {
        Chart { mark: Some((at, words.into())), ..self }
    }

    /// The picture.
    pub fn to_svg(&self) -> String {
        let colours: String =
            COLOURS.iter().enumerate().map(|(at, colour)| format!(".c{at}{{stroke:{colour};fill:{colour}}}")).collect();
        // Grounds are left to what the picture lies on; greys are legible on both.
        let style = format!(
            "<style>text{{font:12px sans-serif;fill:#767676}}.title{{font-weight:bold}}.grid{{stroke:#8884}}{colours}\
             .curve{{fill:none;stroke-width:1.6}}.mark{{stroke:#767676;stroke-dasharray:4 3}}</style>"
        );
        self.drawn(&style)
    }

    /// Writes the picture into a file: SVG, or, where its name ends in `.png`, a PNG file on white ground.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written; [`Error::Option`] for a PNG file without the feature `charts`, or without a font.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let is_png = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        let file = if is_png { self.to_png()? } else { self.to_svg().into_bytes() };
        whole::write(path, file)
    }

    #[cfg(not(feature = "charts"))]
    fn to_png(&self) -> Result<Vec<u8>> {
        Err(Error::Option("a chart as PNG takes the feature `charts` of wgrad; as SVG it takes none".into()))
    }

    /// Two dots for each unit of the picture, as on most screens.
    #[cfg(feature = "charts")]
    fn to_png(&self) -> Result<Vec<u8>> {
        use resvg::{tiny_skia, usvg};
        const SCALE: f32 = 2.0;
        let broken = |what: &dyn std::fmt::Display| Error::Option(format!("the chart `{}`: {what}", self.title));
        let mut options = usvg::Options::default();
        let fonts = options.fontdb_mut();
        fonts.load_system_fonts();
        let families: Vec<String> =
            fonts.faces().flat_map(|face| face.families.iter().map(|(name, _)| name.clone())).collect();
        let usual = ["Arial", "Helvetica", "Segoe UI", "DejaVu Sans", "Liberation Sans", "Noto Sans"];
        let usual = usual.into_iter().find(|name| families.iter().any(|family| family == name));
        let Some(family) = usual.or(families.first().map(String::as_str)) else {
            return Err(broken(&"this machine has no fonts to write with: save it as SVG"));
        };
        fonts.set_sans_serif_family(family);
        let tree = usvg::Tree::from_str(&self.to_svg(), &options).map_err(|error| broken(&error))?;
        let [width, height] = SIZE.map(|size| (size as f32 * SCALE) as u32);
        let mut picture = tiny_skia::Pixmap::new(width, height).ok_or_else(|| broken(&"it has no size"))?;
        picture.fill(tiny_skia::Color::WHITE);
        resvg::render(&tree, tiny_skia::Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
        picture.encode_png().map_err(|error| broken(&error))
    }

    /// The picture with what its look is told by: a style of its own, or nothing within a page that has one.
    pub(super) fn drawn(&self, style: &str) -> String {
        let points = || self.curves.iter().flat_map(|(_, points)| points.iter().copied());
        let across = Axis::of(points().map(|(x, _)| x), self.log_x, [MARGINS[0], SIZE[0] - MARGINS[1]]);
        let up = Axis::of(points().map(|(_, y)| y), self.log, [SIZE[1] - MARGINS[3], MARGINS[2]]);
        let ([width, height], [left, right, top, bottom]) = (SIZE, MARGINS);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" \
             data-over=\"{}\" data-x=\"{}\" data-y=\"{}\">{style}",
            escaped(&self.title),
            escaped(&self.over),
            across.told(),
            up.told(),
        );
        let mut add = |text: String| svg.push_str(&text);
        for (value, name) in up.ticks() {
            let y = up.place(value);
            add(format!("<path class=\"grid\" d=\"M{left} {y:.1}H{}\"/>", width - right));
            add(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>", left - 6.0, y + 4.0));
        }
        for (value, name) in across.ticks() {
            let (x, y) = (across.place(value), height - bottom + 16.0);
            add(format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{name}</text>"));
        }
        if let Some((at, words)) = &self.mark {
            let (x, bottom) = (across.place(*at), height - bottom);
            add(format!("<path class=\"mark\" d=\"M{x:.1} {top}V{bottom}\"/>"));
            let (anchor, x) = if x > width / 2.0 { ("end", x - 5.0) } else { ("start", x + 5.0) };
            let y = top + 12.0;
            add(format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escaped(words)));
        }
        for (at, (name, points)) in self.curves.iter().enumerate() {
            let points = thinned(points);
            // A page's script shows the values; a picture alone has none.
            let told: String = match style {
                "" => format!(" data-name=\"{}\" data-points=\"{}\"", escaped(name), listed(&points)),
                _ => String::new(),
            };
            let line = path(&points, &across, &up);
            let colour = at % COLOURS.len();
            add(format!("<path class=\"curve c{colour}\"{told} d=\"{line}\"/>"));
            // A point without neighbours is no line: it would not be seen.
            for (x, y) in lonely(&points, &across, &up) {
                let (x, y) = (across.place(x), up.place(y));
                add(format!("<circle class=\"dot c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"));
            }
        }
        add(format!("<text class=\"title\" x=\"{left}\" y=\"18\">{}</text>", escaped(&self.title)));
        let (middle, y) = ((left + width - right) / 2.0, height - 8.0);
        add(format!("<text x=\"{middle}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", escaped(&self.over)));
        // Names on the right, where titles are not; one text, since only who draws it knows how wide they are.
        let x = width - right;
        add(format!("<text x=\"{x:.0}\" y=\"18\" text-anchor=\"end\" stroke-width=\"0\">"));
        for (at, (name, _)) in self.curves.iter().enumerate() {
            let gap = if at > 0 { 14 } else { 0 };
            add(format!("<tspan dx=\"{gap}\" class=\"c{}\">{}</tspan>", at % COLOURS.len(), escaped(name)));
        }
        svg + "</text></svg>\n"
    }
}

/// Text within a page.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Of more points than columns, the mean of each stretch.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |part: &[(f64, f64)]| {
        let of = |value: fn(&(f64, f64)) -> f64| part.iter().map(value).sum::<f64>() / part.len() as f64;
        (of(|point| point.0), of(|point| point.1))
    };
    points.chunks(points.len().div_ceil(POINTS).max(1)).map(mean).collect()
}

/// The points that are there, in as few digits as a cursor shows.
fn listed(points: &[(f64, f64)]) -> String {
    let there = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
    there.map(|(x, y)| format!("{},{}", *x as f32, *y as f32)).collect::<Vec<_>>().join(" ")
}

/// A line through points, a new one behind each gap.
fn path(points: &[(f64, f64)], across: &Axis, up: &Axis) -> String {
    let (mut line, mut goes_on) = (String::new(), false);
    for &(x, y) in points {
        let is_there = across.holds(x) && up.holds(y);
        if is_there {
            // Writing to a string cannot fail.
            let _ = write!(line, "{}{:.1} {:.1}", if goes_on { 'L' } else { 'M' }, across.place(x), up.place(y));
        }
        goes_on = is_there;
    }
    line
}

/// The points with a gap or an end on both sides.
fn lonely<'a>(points: &'a [(f64, f64)], across: &'a Axis, up: &'a Axis) -> impl Iterator<Item = (f64, f64)> + 'a {
    let is_there = |at: usize| points.get(at).is_some_and(|&(x, y)| across.holds(x) && up.holds(y));
    let alone = move |at: &usize| is_there(*at) && !is_there(at.wrapping_sub(1)) && !is_there(at + 1);
    (0..points.len()).filter(alone).map(|at| points[at])
}

/// An axis from one value to another, and where they are drawn.
struct Axis {
    values: [f64; 2],
    log: bool,
    places: [f64; 2],
}

impl Axis {
    fn of(values: impl Iterator<Item = f64>, log: bool, places: [f64; 2]) -> Axis {
        let fits = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (low, high) =
            fits.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let values = match (low <= high, log) {
            (false, true) => [0.1, 1.0],
            (false, false) => [0.0, 1.0],
            (true, true) if low == high => [low / 2.0, high * 2.0],
            (true, false) if low == high => [low - 0.5, high + 0.5],
            _ => [low, high],
        };
        Axis { values, log, places }
    }

    fn holds(&self, value: f64) -> bool {
        value.is_finite() && (!self.log || value > 0.0)
    }

    fn scaled(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    fn place(&self, value: f64) -> f64 {
        let [low, high] = self.values.map(|value| self.scaled(value));
        let [from, to] = self.places;
        from + (to - from) * ((self.scaled(value) - low) / (high - low)).clamp(-0.05, 1.05)
    }

    /// What a script needs to find a place again: values, places, and whether it goes by powers.
    fn told(&self) -> String {
        let ([low, high], [from, to]) = (self.values, self.places);
        format!("{low},{high},{from},{to},{}", u8::from(self.log))
    }

    /// Round values within, with their names.
    fn ticks(&self) -> Vec<(f64, String)> {
        let [low, high] = self.values;
        let name = |value: f64| match value.abs() {
            0.0 => "0".to_string(),
            1e-3..1e5 => format!("{}", (value * 1e6).round() / 1e6),
            _ => format!("{value:.0e}"),
        };
        let values: Vec<f64> = if self.log {
            let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
            let factors: &[f64] = if high / low < 50.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let step = ((high / low).log10() / 6.0).ceil().max(1.0) as usize;
            decades.step_by(step).flat_map(|decade| factors.iter().map(move |by| by * 10f64.powi(decade))).collect()
        } else {
            let rough = (high - low) / 5.0;
            let power = 10f64.powf(rough.log10().floor());
            let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|by| by * power).find(|step| *step >= rough);
            let step = step.unwrap_or(rough);
            let first = (low / step).ceil();
            (0..12).map(|at| (first + f64::from(at)) * step).collect()
        };
        values.into_iter().filter(|value| (low..=high).contains(value)).map(|value| (value, name(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_lie_within_their_picture_and_gaps_are_gaps() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 4.0), (3.0, 2.0)];
        let svg = Chart::new("a < b").curve("one", points).curve("none", []).to_svg();
        assert!(svg.contains("a &lt; b") && svg.contains("d=\"M58.0 276.0M430.0 30.0L616.0 194.0\""), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "the point before the gap");
        let once = Chart::new("").curve("one", [(1.0, 2.0)]).to_svg();
        assert!(once.contains("cx=\"337.0\" cy=\"153.0\""), "{once}");
        for (low, high, log) in [(1e-9, 1e9, true), (0.9, 1.1, true), (-3e7, 2e7, false), (5.0, 5.0, false)] {
            let ticks = Axis::of([low, high].into_iter(), log, [0.0, 1.0]).ticks();
            assert!((1..=12).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
        }
        // Values of no finite size do not keep the axis from ending.
        let wild = Chart::new("").curve("", [(0.0, f64::INFINITY), (f64::MAX, f64::MIN)]).to_svg();
        assert!(wild.ends_with("</svg>\n"));
    }
}
