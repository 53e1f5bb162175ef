//! What the scores of a set tell: curves of classes, calibration, the worst mistakes.

use super::{chart, list, number, table, text};
use crate::metrics::Scored;
use crate::train::chart::escaped;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The most points of a curve, classes with curves of their own, and mistakes.
const POINTS: usize = 200;
const CLASSES: usize = 6;
/// Ranges of confidence.
const BINS: usize = 10;

/// What a page keeps of scores, with `mistakes` of the worst.
pub(in crate::train) fn told(scored: &Scored, mistakes: usize) -> Value {
    let thinned = |points: Vec<(f64, f64)>| -> Vec<Value> {
        let step = points.len().div_ceil(POINTS).max(1);
        let last = points.len().saturating_sub(1);
        let kept = points.into_iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last);
        kept.map(|(_, (x, y))| json!([x, y])).collect()
    };
    // Of two classes one has all there is to see; of many, those that are found worst.
    let mut classes: Vec<(usize, f64)> = match scored.classes() {
        2 => vec![(1, 0.0)],
        count => (0..count).map(|class| (class, area(&scored.roc_curve(class)))).collect(),
    };
    classes.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap_or(Ordering::Equal));
    classes.truncate(CLASSES);
    classes.sort_by_key(|(class, _)| *class);
    let each = |(class, _): &(usize, f64)| {
        let (roc, pr) = (scored.roc_curve(*class), scored.precision_recall_curve(*class));
        json!({"class": class, "area": area(&roc), "roc": thinned(roc), "pr": thinned(pr)})
    };
    let bins = scored.calibration(BINS);
    let worst = scored.worst(mistakes);
    json!({
        "classes": classes.iter().map(each).collect::<Vec<_>>(),
        "all": scored.classes(),
        "calibration": bins.iter().map(|bin| json!([bin.confidence, bin.accuracy, bin.items])).collect::<Vec<_>>(),
        "error": scored.expected_calibration_error(BINS),
        "mistakes": worst.iter().map(|m| json!([m.item, m.truth, m.predicted, m.confidence, m.loss])).collect::<Vec<_>>(),
    })
}

/// The area under a curve.
fn area(points: &[(f64, f64)]) -> f64 {
    points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum()
}

/// Pictures of all of it, and a table of mistakes.
pub(super) fn scores(run: &Value) -> String {
    let scores = &run["scores"];
    let classes = list(&scores["classes"]);
    if classes.is_empty() {
        return String::new();
    }
    let name = |class: &Value| {
        let at = class.as_u64().unwrap_or(0) as usize;
        run["classes"][at].as_str().map_or_else(|| at.to_string(), String::from)
    };
    let points = |value: &Value| list(value).iter().map(|point| (number(&point[0]), number(&point[1]))).collect();
    let curves = |of: &str| classes.iter().map(|own| (name(&own["class"]), points(&own[of]))).collect::<Vec<_>>();
    let mut roc = curves("roc");
    for (own, (name, _)) in classes.iter().zip(&mut roc) {
        *name = format!("{name} {:.3}", number(&own["area"]));
    }
    let calibration = vec![
        ("as it says".to_string(), vec![(0.0, 0.0), (1.0, 1.0)]),
        ("validation".to_string(), points(&scores["calibration"])),
    ];
    let all = scores["all"].as_u64().unwrap_or(0) as usize;
    let which = match all > classes.len() && all > 2 {
        true => format!(" Of {all} classes those are drawn that are found worst."),
        false => String::new(),
    };
    let mut out = format!(
        "<section><h2>Scores</h2>\n<p>Each class against all others, with the area under its curve.{which} Confidence is \
         {:.1}% off what comes true, in the mean.</p>\n<div class=\"charts\">\n",
        100.0 * number(&scores["error"])
    );
    out += &chart("found (ROC)", "of others taken for it", roc);
    out += &chart("precision", "recall", curves("pr"));
    out += &chart("right, by confidence", "confidence", calibration);
    out += "</div>\n";
    let mistakes = list(&scores["mistakes"]);
    if !mistakes.is_empty() {
        let pictures = run["pictures"].as_object();
        let row = |mistake: &Value| {
            let picture = pictures.and_then(|all| all.get(&mistake[0].to_string())?.as_str());
            let item = text(&mistake[0]);
            let shown = picture.map_or(item.clone(), |data| {
                format!(
                    "<img class=\"item\" alt=\"item {item}\" src=\"data:image/png;base64,{}\"> {item}",
                    escaped(data)
                )
            });
            vec![
                shown,
                escaped(&name(&mistake[1])),
                escaped(&name(&mistake[2])),
                format!("{:.1}%", 100.0 * number(&mistake[3])),
                format!("{:.3}", number(&mistake[4])),
            ]
        };
        let rows: Vec<Vec<String>> = mistakes.iter().map(row).collect();
        out += "<h2>Worst mistakes</h2>\n<p>Items of the validation set, those first that are least what they were taken for.</p>\n";
        out += &table(&["item", "is", "was taken for", "with", "loss"], &rows);
    }
    out + "</section>\n"
}
