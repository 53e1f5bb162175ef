//! The page of a report.

pub(super) mod scores;
pub(super) mod weights;

use super::chart::{COLOURS, Chart, escaped};
use crate::metrics::ConfusionMatrix;
use serde_json::Value;
use std::fmt::Write;

/// What stands before and behind the data of a run in its page.
const MARKS: [&str; 2] = ["<script type=\"application/json\" id=\"run\">", "</script>"];

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The data of a page of one run.
pub(super) fn data_of(page: &str) -> Option<Value> {
    let (_, rest) = page.split_once(MARKS[0])?;
    serde_json::from_str(rest.split_once(MARKS[1])?.0).ok()
}

/// A page of one run, or of several beside each other.
pub(super) fn of(runs: &[Value]) -> String {
    let titles: Vec<String> = titles(runs);
    let title = escaped(&titles.join(" · "));
    let colours: String =
        COLOURS.iter().enumerate().map(|(at, colour)| format!(".c{at}{{--c:{colour}}}")).collect::<String>();
    let mut body = format!("<h1>{title}</h1>\n");
    body += &overview(runs, &titles);
    body += &curves(runs, &titles);
    for (run, title) in runs.iter().zip(&titles) {
        if runs.len() > 1 {
            body += &format!("<h2 class=\"run\">{}</h2>\n", escaped(title));
        }
        body += &classes(run);
        body += &scores::scores(run);
        body += &times(run);
        body += &model(run);
        body += &weights::weights(run);
        body += &epochs(run);
    }
    // What a page of several would read is there where there is one.
    let data = match runs {
        [run] => format!("{}{}{}\n", MARKS[0], run.to_string().replace('<', "\\u003c"), MARKS[1]),
        _ => String::new(),
    };
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}{colours}\n</style>\n</head>\n<body>\n<main>\n{body}</main>\n{data}<script>\n{SCRIPT}</script>\n\
         </body>\n</html>\n"
    )
}

/// The titles of runs; those of one name are numbered.
fn titles(runs: &[Value]) -> Vec<String> {
    let all: Vec<&str> = runs.iter().map(|run| run["title"].as_str().unwrap_or("run")).collect();
    let named = all.iter().enumerate().map(|(at, title)| match all.iter().filter(|other| *other == title).count() {
        1 => title.to_string(),
        _ => format!("{title} {}", at + 1),
    });
    named.collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, String::from)
}

/// A number; what JSON could not hold is none.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

/// A number in few digits.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e-3..1e5 if value.fract() == 0.0 => format!("{value:.0}"),
        1e-3..1e5 => format!("{value:.4}"),
        _ if value.is_finite() => format!("{value:.3e}"),
        _ => "–".into(),
    }
}

fn bytes(count: f64) -> String {
    match count {
        1e9.. => format!("{:.2} GB", count / 1e9),
        1e6.. => format!("{:.1} MB", count / 1e6),
        _ => format!("{:.0} kB", count / 1e3),
    }
}

/// A number of things: of one there is no plural.
fn counted(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        _ => format!("{}:{:02} h", whole / 3600, whole % 3600 / 60),
    }
}

/// A day and a time of UTC, from seconds since 1970 (Hinnant's way from days to a date).
fn date(seconds: f64) -> String {
    let (days, rest) = ((seconds as i64).div_euclid(86400), (seconds as i64).rem_euclid(86400));
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let (month, of_month) = (
        if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 },
        of_year - (153 * shifted_month + 2) / 5 + 1,
    );
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{of_month:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

/// A table within its own space to scroll; cells are HTML already, and columns of numbers stand at the right.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '–');
    let class = |at: usize| match rows.first().and_then(|row| row.get(at)).is_some_and(|cell| is_number(cell)) {
        true => " class=\"n\"",
        false => "",
    };
    let mut out = String::from("<div class=\"wide\"><table>");
    if !head.is_empty() {
        let cell = |(at, cell): (usize, &&str)| format!("<th{}>{}</th>", class(at), escaped(cell));
        out += &format!("<thead><tr>{}</tr></thead>", head.iter().enumerate().map(cell).collect::<String>());
    }
    out += "<tbody>";
    for row in rows {
        let cell = |(at, cell): (usize, &String)| format!("<td{}>{cell}</td>", class(at));
        out += &format!("<tr>{}</tr>", row.iter().enumerate().map(cell).collect::<String>());
    }
    out + "</tbody></table></div>\n"
}

/// What each run was and came to: a row for each thing, a column for each run.
fn overview(runs: &[Value], titles: &[String]) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut columns: Vec<Vec<(String, String)>> = Vec::new();
    for run in runs {
        let column = facts(run);
        for (name, _) in &column {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        columns.push(column);
    }
    let row = |name: &String| {
        let of = |column: &Vec<(String, String)>| {
            column.iter().find(|(own, _)| own == name).map_or("–".into(), |(_, value)| escaped(value))
        };
        std::iter::once(format!("<b>{}</b>", escaped(name))).chain(columns.iter().map(of)).collect()
    };
    let head: Vec<&str> = std::iter::once("").chain(titles.iter().map(String::as_str)).collect();
    let head = if runs.len() > 1 { &head[..] } else { &[] };
    format!("<section class=\"facts\">{}</section>\n", table(head, &names.iter().map(row).collect::<Vec<_>>()))
}

fn facts(run: &Value) -> Vec<(String, String)> {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            facts.push((name.into(), value));
        }
    };
    let epochs = list(&run["epochs"]);
    if let Some(last) = epochs.last() {
        for figure in list(&last["figures"]) {
            add(&text(&figure[0]), short(number(&figure[1])));
        }
        let seconds = epochs.iter().map(|epoch| number(&epoch["seconds"])).sum();
        add(
            "trained",
            format!(
                "{}, {} in {}",
                counted(epochs.len() as u64, "epoch"),
                counted(last["step"].as_u64().unwrap_or(0), "step"),
                duration(seconds)
            ),
        );
        add("items a second", short(number(&last["rate"]).round()));
    }
    for setting in list(&run["settings"]) {
        add(&text(&setting[0]), text(&setting[1]));
    }
    add("device", text(&run["device"]));
    add("data", text(&run["data"]));
    if let Some(parameters) = run["summary"]["parameters"].as_u64() {
        add("parameters", parameters.to_string());
    }
    if let Some(memory) = run["memory"].as_f64() {
        add("memory of the device", bytes(memory));
    }
    for start in list(&run["started"]) {
        let what = if start[1] == 0 { "begun".into() } else { format!("resumed at step {}", start[1]) };
        add(&what, date(number(&start[0])));
    }
    add("ended", text(&run["ended"]));
    facts
}

/// Curves of all figures: those of training and of validation in one picture, and each run's beside the others'.
fn curves(runs: &[Value], titles: &[String]) -> String {
    let mut figures: Vec<String> = Vec::new();
    for figure in runs.iter().flat_map(|run| list(&run["epochs"])).flat_map(|epoch| list(&epoch["figures"])) {
        let name = text(&figure[0]);
        let name = name.strip_prefix("val_").unwrap_or(&name).to_string();
        if !figures.contains(&name) {
            figures.push(name);
        }
    }
    let name = |run: usize, part: &str| match (runs.len(), part) {
        (1, part) => part.to_string(),
        (_, "") => titles[run].clone(),
        (_, part) => format!("{} {part}", titles[run]),
    };
    let mut charts = Vec::new();
    for figure in &figures {
        let mut all = Vec::new();
        for (at, run) in runs.iter().enumerate() {
            for (part, prefix) in [("training", ""), ("validation", "val_")] {
                let wanted = format!("{prefix}{figure}");
                let value = |epoch: &Value| {
                    let found = list(&epoch["figures"]).iter().find(|own| own[0] == wanted.as_str())?;
                    Some((number(&epoch["epoch"]) + 1.0, number(&found[1])))
                };
                let points: Vec<(f64, f64)> = list(&run["epochs"]).iter().filter_map(value).collect();
                if !points.is_empty() {
                    all.push((name(at, part), points));
                }
            }
        }
        charts.push(chart(figure, "epoch", all));
    }
    let by = |title: &str, over: &str, list_of: &str, of: &dyn Fn(&Value) -> (f64, f64)| {
        let curve = |(at, run): (usize, &Value)| (name(at, ""), list(&run[list_of]).iter().map(of).collect());
        chart(title, over, runs.iter().enumerate().map(curve).collect())
    };
    charts.push(by("loss of single steps", "step", "steps", &|step| (number(&step[0]), number(&step[1]))));
    charts.push(by("learning rate", "step", "steps", &|step| (number(&step[0]), number(&step[2]))));
    charts.push(by("items a second", "epoch", "epochs", &|epoch| {
        (number(&epoch["epoch"]) + 1.0, number(&epoch["rate"]))
    }));
    format!("<section class=\"charts\">\n{}</section>\n", charts.concat())
}

/// A picture, by powers of ten where values differ by much.
fn chart(title: &str, over: &str, curves: Vec<(String, Vec<(f64, f64)>)>) -> String {
    let values = || curves.iter().flat_map(|(_, points)| points.iter().map(|(_, y)| *y)).filter(|y| y.is_finite());
    let (low, high) = values().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(y), high.max(y)));
    if low > high {
        return String::new();
    }
    let chart = Chart::new(title).over(over);
    let chart = if low > 0.0 && high / low > 20.0 { chart.log() } else { chart };
    let chart = curves.into_iter().fold(chart, |chart, (name, points)| chart.curve(&name, points));
    format!("<figure class=\"chart\">{}<div class=\"tip\"></div></figure>\n", chart.drawn(""))
}

/// The matrix of classes, and how well each is found.
fn classes(run: &Value) -> String {
    let counts: Vec<u64> = list(&run["confusion"]).iter().filter_map(Value::as_u64).collect();
    let count = counts.len().isqrt();
    if count == 0 || count * count != counts.len() {
        return String::new();
    }
    let name = |class: usize| run["classes"][class].as_str().map_or_else(|| class.to_string(), String::from);
    let sums: Vec<f64> = counts.iter().chain([&0]).map(|count| *count as f64).collect();
    let Ok(matrix) = ConfusionMatrix::of_sums(&sums) else { return String::new() };
    let mut out = String::from("<section><h2>Classes</h2>\n<p>Rows are what is true, columns what was said.</p>\n");
    out += "<div class=\"wide\"><table class=\"matrix\"><thead><tr><th></th>";
    out += &(0..count).map(|class| format!("<th>{}</th>", escaped(&name(class)))).collect::<String>();
    out += "</tr></thead><tbody>";
    let of_row = |t: usize| counts[t * count..][..count].iter().sum::<u64>();
    for t in 0..count {
        // Writing to a string cannot fail.
        let _ = write!(out, "<tr><th>{}</th>", escaped(&name(t)));
        for p in 0..count {
            let share = matrix.count(t, p) as f64 / of_row(t).max(1) as f64;
            let kind = if t == p { "right" } else { "wrong" };
            let shown = if matrix.count(t, p) == 0 { "·".into() } else { matrix.count(t, p).to_string() };
            let _ = write!(out, "<td class=\"{kind}\" style=\"--share:{:.0}%\">{shown}</td>", 85.0 * share.sqrt());
        }
        out += "</tr>";
    }
    out += "</tbody></table></div>\n";
    let row = |class: usize| {
        let others = (0..count).filter(|&other| other != class && matrix.count(class, other) > 0);
        let worst = others.max_by_key(|&other| matrix.count(class, other));
        let worst = worst.map_or(String::new(), |p| format!("{} ({})", escaped(&name(p)), matrix.count(class, p)));
        let shares =
            [matrix.precision(class), matrix.recall(class), matrix.f1(class)].map(|share| format!("{share:.3}"));
        let first = [escaped(&name(class)), of_row(class).to_string()];
        first.into_iter().chain(shares).chain([worst]).collect()
    };
    let head = ["class", "items", "precision", "recall", "F1", "most often taken for"];
    out + &table(&head, &(0..count).map(row).collect::<Vec<_>>()) + "</section>\n"
}

/// The time of a step.
fn times(run: &Value) -> String {
    let profile = &run["profile"];
    let (Some(all), kernels) = (profile["ms"].as_f64(), list(&profile["kernel"])) else { return String::new() };
    let part = |title: &str, rows: &[Value]| {
        let row = |row: &Value| {
            let share = 100.0 * number(&row[2]) / all.max(1e-9);
            let bar = format!("<span class=\"bar\" style=\"--share:{share:.1}%\"></span>");
            vec![
                escaped(&text(&row[0])),
                row[1].to_string(),
                format!("{:.3}", number(&row[2])),
                format!("{share:.1}%"),
                bar,
            ]
        };
        table(&[title, "passes", "ms", "share", ""], &rows.iter().map(row).collect::<Vec<_>>())
    };
    format!(
        "<section><h2>Time of a step</h2>\n<p>{all:.3} ms on the device, each pass timed by itself.</p>\n\
         <div class=\"pair\">{}{}</div></section>\n",
        part("kernel", kernels),
        part("layer", list(&profile["layer"]))
    )
}

fn model(run: &Value) -> String {
    let rows = list(&run["summary"]["rows"]);
    if rows.is_empty() {
        return String::new();
    }
    let row = |row: &Value| {
        let parameters = if row[3] == 0 { String::new() } else { row[3].to_string() };
        vec![escaped(&text(&row[0])), escaped(&text(&row[1])), escaped(&text(&row[2])), parameters]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    format!(
        "<section><details><summary>Model</summary>\n{}</details></section>\n",
        table(&["path", "layer", "output", "parameters"], &rows)
    )
}

/// All epochs as a table.
fn epochs(run: &Value) -> String {
    let epochs = list(&run["epochs"]);
    let Some(first) = epochs.first() else { return String::new() };
    let names: Vec<String> = list(&first["figures"]).iter().map(|figure| text(&figure[0])).collect();
    let row = |epoch: &Value| {
        let figure =
            |name: &String| list(&epoch["figures"]).iter().find(|own| own[0] == name.as_str()).map(|own| &own[1]);
        let figures = names.iter().map(|name| short(figure(name).map_or(f64::NAN, number)));
        let first = [short(number(&epoch["epoch"]) + 1.0), epoch["step"].to_string()];
        let last = [short(number(&epoch["lr"])), duration(number(&epoch["seconds"]))];
        first.into_iter().chain(figures).chain(last).collect()
    };
    let rows: Vec<Vec<String>> = epochs.iter().map(row).collect();
    let head: Vec<&str> =
        ["epoch", "step"].into_iter().chain(names.iter().map(String::as_str)).chain(["rate", "time"]).collect();
    format!("<section><details><summary>Epochs</summary>\n{}</details></section>\n", table(&head, &rows))
}
