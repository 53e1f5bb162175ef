//! The files that a run writes: whole where it is resumed, and left alone by a run that only tries.

use super::trainer::{loader, network, outcome, plain};
use std::fs;
use wgrad::Device;
use wgrad::metrics::{Accuracy, LogLoss};
use wgrad::optim::{Sgd, SgdOptions};
use wgrad::train::{Checkpoints, CsvLog, JsonLog, Report, TensorBoard, Trainer};

#[test]
fn a_log_of_a_run_that_goes_on_is_one_table() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let [csv, jsonl] = ["log.csv", "log.jsonl"].map(|name| folder.path().join(name));
    let model = network(&device);
    let fit = |epochs: usize, more: bool| {
        let checkpoints = Checkpoints::in_folder(folder.path().join("kept")).resume();
        let mut trainer = plain(&device, &model, 0.1)
            .epochs(epochs)
            .checkpoints(checkpoints)
            .callback(CsvLog::new(&csv))
            .callback(JsonLog::new(&jsonl));
        if more {
            trainer = trainer.metric(Accuracy::new()).metric(LogLoss::new());
        }
        trainer.fit(&loader(300, 0), more.then(|| loader(70, 0)).as_ref().map(|set| set as _)).expect("it trains");
    };
    fit(2, false);
    // Another process has trained an epoch more than it has saved, and was cut off in the middle of a line.
    let add = |path, text: &str| {
        let old = fs::read_to_string(path).expect("it was written");
        fs::write(path, old + text).expect("it can be written");
    };
    add(&csv, "3,30,0.1,0.1,0.5,0.5\n4,40,0.1,0.");
    add(&jsonl, "{\"event\":\"epoch\",\"epoch\":3,\"step\":30}\n{\"event\":\"epo");
    fit(4, true);
    fit(5, false);
    let text = fs::read_to_string(&csv).expect("it was written");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let names = "epoch,step,seconds,lr,loss,size,accuracy,log_loss,val_loss,val_size,val_accuracy,val_log_loss";
    assert_eq!(rows[0].join(","), names, "{text}");
    let firsts: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(firsts, ["epoch", "1", "2", "3", "4", "5"], "{text}");
    assert!(text.ends_with('\n') && rows.iter().all(|row| row.len() == rows[0].len()), "{text}");
    let accuracies: Vec<bool> = rows.iter().map(|row| !row[6].is_empty()).collect();
    assert_eq!(accuracies, [true, false, false, true, true, false], "{text}");
    assert!(rows[1..].iter().all(|row| row[4].parse::<f64>().is_ok()), "{text}");

    let log = fs::read_to_string(&jsonl).expect("it was written");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let epochs: Vec<u64> = lines.iter().filter_map(|line| line["epoch"].as_u64()).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5], "{log}");
    assert_eq!(lines.iter().filter(|line| line["event"] == "start").count(), 3, "{log}");
}

#[test]
fn a_name_with_a_comma_is_one_column() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let (model, log) = (network(&device), folder.path().join("log.csv"));
    let sgd = Sgd::new(&model, SgdOptions::default()).expect("a rate");
    let step = |batch: [&wgrad::Tensor; 2], ctx: &wgrad::nn::Ctx| {
        let outcome = outcome(&model, batch, ctx);
        let loss = outcome.loss.clone();
        Ok(outcome.and("a, \"b\"", &loss))
    };
    let mut trainer = Trainer::new(&device, &model, sgd, step).callback(CsvLog::new(&log));
    trainer.fit(&loader(64, 0), None).expect("it trains");
    let table = wgrad::data::Table::read(&log).expect("a table");
    assert_eq!(table.header()[6], "a, \"b\"");
    assert_eq!(table.number(0, 6), table.number(0, 4));
}

#[test]
fn a_fast_run_leaves_files_as_they_are() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let files = ["log.csv", "log.jsonl", "page.html"].map(|name| folder.path().join(name));
    files.iter().for_each(|path| fs::write(path, "of a long run").expect("it can be written"));
    let board = folder.path().join("board");
    let model = network(&device);
    let mut trainer = plain(&device, &model, 0.1)
        .fast_dev_run(true)
        .checkpoints(Checkpoints::in_folder(folder.path().join("kept")))
        .callback(CsvLog::new(&files[0]))
        .callback(JsonLog::new(&files[1]))
        .callback(Report::new(&files[2]))
        .callback(TensorBoard::new(&board));
    trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect("it trains");
    for path in &files {
        assert_eq!(fs::read_to_string(path).expect("it is there"), "of a long run");
    }
    assert!(!board.exists() && !folder.path().join("kept").exists());
    trainer.fast_dev_run(false).fit(&loader(300, 0), None).expect("it trains");
    assert!(board.exists() && fs::read_to_string(&files[0]).expect("it is there").starts_with("epoch,"));
}
