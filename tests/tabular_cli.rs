//! The tabular example as its user meets it: what it learns, and one sentence with line and column for each mistake.

use crate::program::{Said, run};
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

fn tabular(args: &[&dyn AsRef<OsStr>]) -> Said {
    run("tabular", &[], args)
}

/// Runs the example on a file of this text, and on another whose rows are to be answered.
fn learn(text: &str, new: &str, more: &[&str]) -> Said {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [data, rows] = ["d.csv", "new.csv"].map(|name| folder.path().join(name));
    fs::write(&data, text).and_then(|()| fs::write(&rows, new)).expect("they can be written");
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"--device=cpu", &"--epochs=3", &"--data", &data, &"--predict", &rows];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<OsStr>));
    tabular(&args)
}

/// 40 rows, the last of which may be another: lines 2 to 41.
fn colours(last: &str) -> String {
    let row = |i: usize| format!("{i},{},{},{}\n", i as f32 / 2.0, ["red", "green"][i % 2], ["yes", "no"][i / 20]);
    let rows: String = (0..39).map(row).collect();
    format!("id,size,colour,bought\n{rows}{last}\n")
}

const WHOLE: &str = "39,19.5,green,no";
const NEW: &str = "size,colour\n3,red\n,green\n17.5,\n";

#[test]
fn the_flats_are_made_by_the_formula() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("flats.csv");
    assert_eq!(tabular(&[&"--make", &path]).code, Some(0));
    let carried = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/data/flats.csv");
    assert!(
        fs::read(path).expect("it was written") == fs::read(carried).expect("it is there"),
        "`--make` makes another"
    );
}

#[test]
fn rents_and_demands_are_learned_nearly_as_well_as_can_be() {
    let rent = tabular(&[&"--device=cpu"]);
    let error: f32 = rent.ends("validation mean error: ").parse().expect("a number");
    assert!((25.0..42.0).contains(&error), "the noise alone makes 30: {rent:#?}");
    assert!(rent.out.contains("new_flats.csv, line 4: rent 1"), "{}", rent.out);

    let demand = tabular(&[&"--device=cpu", &"--target=demand"]);
    let accuracy = demand.ends("validation accuracy: ").strip_suffix('%').expect("a percentage");
    assert!((80.0..94.0).contains(&accuracy.parse::<f32>().expect("a number")), "at best 90: {demand:#?}");
}

#[test]
fn a_file_of_ones_own_is_learned_on_every_device() {
    for (name, _) in crate::devices::devices() {
        let device = format!("--device={name}");
        let said = tabular(&[&device, &"--epochs=2", &"--target=demand", &"--batch-size=400"]);
        said.ends("validation accuracy: ");
    }
    let said = learn(&colours(WHOLE), NEW, &["--target=bought", "--ignore=id"]);
    said.ends("validation accuracy: ");
    assert!(said.out.contains("new.csv, line 3: bought "), "{}", said.out);
    let said = learn(&colours("39,,green,no"), NEW, &["--target=size", "--ignore=id,bought"]);
    said.refuses(&["d.csv, line 41, column `size`", "is missing"]);
    learn(&colours(WHOLE), "id,colour\n3,red\n", &["--target=size", "--ignore=bought", "--categories=colour"]).ends("");
}

/// Seconds since 1970, a minute apart: in f32 the column would have two values of 128 apart, or one.
#[test]
fn large_whole_numbers_keep_their_last_digits() {
    let line = |i: usize| format!("{},{},{}\n", 1_700_000_000 + 60 * i, 1_600_000_000_000_u64 + 7 * i as u64, i % 2);
    let text = format!("time,stamp,odd\n{}", (0..40).map(line).collect::<String>());
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [data, rows] = ["d.csv", "new.csv"].map(|name| folder.path().join(name));
    let new = "time\n1700000060\n";
    fs::write(&data, text).and_then(|()| fs::write(&rows, new)).expect("they can be written");
    let said = tabular(&[&"--device=cpu", &"--data", &data, &"--predict", &rows, &"--target=stamp", &"--ignore=odd"]);
    said.ends("validation mean error: ");
    let rows = said.out.lines().find(|line| line.starts_with("time")).expect("the column is described");
    // 32 of 40 rows in steps of 60 deviate by 600 to 760; those of f32 do not.
    let part = |name: &str| -> f64 {
        let rest = rows.split_once(name).expect("it is told").1;
        rest.split(',').next().expect("a number").trim().parse().expect("a number")
    };
    assert!((1_700_000_600.0..1_700_001_800.0).contains(&part("mean ")), "{rows}");
    assert!((560.0..800.0).contains(&part("deviation ")), "{rows}");
    let answer = said.out.lines().find_map(|line| line.split_once("stamp ")?.1.parse::<f64>().ok());
    let off = answer.expect("the new row is answered") - 1_600_000_000_007.0;
    assert!(off.abs() < 60.0, "off by {off}: {said:#?}");
}

#[test]
fn mistakes_are_told_with_line_and_column() {
    let with = |text: &str, new: &str| learn(text, new, &["--target=bought", "--ignore=id"]);
    with(&colours("39,big,green,no"), NEW).refuses(&["d.csv, line 41, column `size`", "`big` is no number"]);
    with(&colours("39,1e99,green,no"), NEW).refuses(&["d.csv, line 41, column `size`", "`1e99` is no number"]);
    with(&colours("39,19.5,green"), NEW).refuses(&["d.csv, line 41", "3 fields where the header has 4"]);
    with(&colours("39,19.5,green,"), NEW).refuses(&["d.csv, line 41, column `bought`", "leave this row out"]);
    with("id,size,colour,bought\n1,2,red,yes\n", NEW).refuses(&["1 rows are too few"]);
    with("id,size,colour,bought\n", NEW).refuses(&["d.csv, line 1", "expected a header and rows after it"]);
    with(&colours("39,19.5,\"green,no"), NEW).refuses(&["d.csv, line 41", "a quote has no end"]);
    with("id,size,id,bought\n1,2,3,4\n", NEW).refuses(&["d.csv, line 1", "`id`"]);
    with(&colours(WHOLE), "size,colour\n3,red\n4,blue\n")
        .refuses(&["new.csv, line 3, column `colour`", "`blue` is in no training row; known are green, red"]);
    with(&colours(WHOLE), "size\n3\n").refuses(&["new.csv, line 1: there is no column `colour` among size"]);
    with(&colours(WHOLE), "size,colour\nthree,red\n")
        .refuses(&["new.csv, line 2, column `size`", "`three` is no number"]);

    let absent = |option: &str| learn(&colours(WHOLE), NEW, &["--target=bought", option]);
    absent("--ignore=name").refuses(&["d.csv, line 1: there is no column `name` among id, size, colour, bought"]);
    absent("--categories=name").refuses(&["no column `name`"]);
    absent("--ignore=bought").refuses(&["--ignore bought: that is the column to be told"]);
    absent("--ignore=id,size,colour").refuses(&["no column is left"]);
    tabular(&[&"--target=price"]).refuses(&["flats.csv, line 1: there is no column `price`"]);
    tabular(&[&"--data=none.csv", &"--target=price"]).refuses(&["none.csv: cannot be read"]);
    tabular(&[&"--data=none.csv"]).refuses_usage(&["--target"]);
}
