//! The page of a run: whole, by itself, and readable by the next.

use crate::train::trainer::{loader, network, plain};
use wgrad::Device;
use wgrad::metrics::{Accuracy, AveragePrecision, ConfusionCounts, Meter, RocAuc, Scored, Scores};
use wgrad::nn::Summary;
use wgrad::train::{Checkpoints, CsvLog, JsonLog, Report};

#[test]
fn a_page_tells_a_run_and_stands_beside_another() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let pages = ["one.html", "two.html", "both.html"].map(|name| folder.path().join(name));
    for (page, stops) in [(&pages[0], vec![25, u64::MAX]), (&pages[1], vec![u64::MAX])] {
        let model = network(&device);
        for steps in stops {
            let report = Report::new(page)
                .setting("lr", "0.1 </script><b>")
                .summary(&Summary::of(&model, [1, 2], &device))
                .classes(&["out <", "in"]);
            let mut trainer = plain(&device, &model, 0.1)
                .epochs(4)
                .max_steps(steps)
                .grad_norm()
                .metric(Accuracy::new())
                .metric(ConfusionCounts::new(2))
                .checkpoints(Checkpoints::in_folder(page.with_extension("kept")).resume())
                .callback(JsonLog::new(page.with_extension("jsonl")))
                .callback(report);
            trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect("it trains");
        }
    }
    let [one, two] = [&pages[0], &pages[1]].map(|page| std::fs::read_to_string(page).expect("it was written"));
    for part in [
        "<title>one</title>",
        "resumed at step 25",
        "all epochs are done",
        "out &lt;",
        "grad_norm",
        "val_accuracy",
        "learning rate",
        "Time of a step",
        "matmul",
        "BatchNorm1d",
        "300 items, 32 a batch",
    ] {
        assert!(one.contains(part), "{part:?} is missing");
    }
    assert!(!two.contains("resumed at step"));
    for page in [&one, &two] {
        // Nothing comes from elsewhere, and no text is taken for a mark of the page.
        for part in ["http://", "https://", "src=", "<link", "</script><b>"] {
            let own = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(part), "{part}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert_eq!(page.matches("<table").count(), page.matches("</table>").count());
    }
    Report::compare(&pages[..2], &pages[2]).expect("both are reports");
    let both = std::fs::read_to_string(&pages[2]).expect("it was written");
    assert!(both.contains("one training") && both.contains("two validation"), "{both}");
    let wrong = Report::compare(&pages[2..], &pages[0]).expect_err("a page of several").to_string();
    assert!(wrong.contains("both.html: is no report of a run"), "{wrong}");

    let log = std::fs::read_to_string(pages[0].with_extension("jsonl")).expect("it was written");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().expect("a word")).collect();
    assert_eq!(events, ["start", "epoch", "epoch", "end", "start", "epoch", "epoch", "end"]);
    assert_eq!((lines[3]["stopped"].as_str(), lines[5]["epoch"].as_u64()), (Some("25 steps are done"), Some(3)));
    assert!(lines[5]["val_accuracy"].as_f64() > Some(0.3));
}

#[test]
fn a_page_tells_scores_mistakes_and_weights() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let page = folder.path().join("scores.html");
    let model = network(&device);
    // Pixels of another number end the run.
    let report = Report::new(&page).mistakes(3).histograms().pictures(|item| Some(([2, 2], vec![item as u8; 4])));
    let mut trainer = plain(&device, &model, 0.1).epochs(1).metric(Scores::new(2)).callback(report);
    trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect("it trains");
    let text = std::fs::read_to_string(&page).expect("it was written");
    for part in ["found (ROC)", "precision", "right, by confidence", "Worst mistakes", "Weights", "class=\"sizes\""] {
        assert!(text.contains(part), "{part:?} is missing");
    }
    assert_eq!(text.matches("src=\"data:image/png;base64,iVBORw0KGgo").count(), 3);
    let wrong = Report::new(&page).pictures(|_| Some(([2, 2], vec![0; 5])));
    let mut trainer = plain(&device, &model, 0.1).epochs(1).metric(Scores::new(2)).callback(wrong);
    let error = trainer.fit(&loader(300, 0), Some(&loader(70, 0))).expect_err("5 bytes are no picture").to_string();
    assert!(error.contains("5 bytes for 2 x 2 pixels"), "{error}");
}

#[test]
fn a_table_that_a_resumed_run_begins_has_all_of_its_epochs() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let [first, second] = ["first.csv", "second.csv"].map(|name| folder.path().join(name));
    let model = network(&device);
    for (epochs, log) in [(2, &first), (3, &second), (4, &second)] {
        let checkpoints = Checkpoints::in_folder(folder.path().join("kept")).resume();
        let trainer = plain(&device, &model, 0.1).epochs(epochs).checkpoints(checkpoints);
        trainer.callback(CsvLog::new(log)).fit(&loader(300, 0), None).expect("it trains");
    }
    for (log, epochs) in [(&first, &["1", "2"][..]), (&second, &["1", "2", "3", "4"])] {
        let text = std::fs::read_to_string(log).expect("it was written");
        let firsts: Vec<&str> = text.lines().filter_map(|line| line.split(',').next()).collect();
        assert_eq!(firsts, [&["epoch"][..], epochs].concat(), "{text}");
    }
}

#[test]
fn a_page_behind_a_link_is_written_where_the_link_goes() {
    let (device, folder) = (Device::cpu(), tempfile::tempdir().expect("a folder"));
    let [page, link] = ["page.html", "link.html"].map(|name| folder.path().join(name));
    std::fs::write(&page, "").expect("it is written");
    std::os::unix::fs::symlink(&page, &link).expect("a link");
    let model = network(&device);
    let mut trainer = plain(&device, &model, 0.1).epochs(1).callback(Report::new(&link));
    trainer.fit(&loader(300, 0), None).expect("it trains");
    assert!(link.is_symlink() && std::fs::read_to_string(&page).expect("it is there").contains("</html>"));
}

/// Areas under curves are what metrics tell by themselves.
#[test]
fn curves_are_those_of_the_metrics() {
    let device = Device::cpu();
    let mut rng = wgrad::Rng::new(3);
    let logits = wgrad::Tensor::normal([200, 3], 0.0, 1.0, &mut rng, &device);
    let labels: Vec<i32> = (0..200).map(|at| if at % 50 == 7 { -100 } else { at * at % 3 % 2 + at % 2 }).collect();
    let labels = wgrad::Tensor::from_vec(labels, [200], &device);
    let mut scores = Meter::new(Scores::new(3), &device);
    let mut auc = Meter::new(RocAuc::new(3), &device);
    let mut precision = Meter::new(AveragePrecision::new(3), &device);
    scores.update(&logits, &labels);
    auc.update(&logits, &labels);
    precision.update(&logits, &labels);
    let scored = Scored::of_sums(&scores.sums().expect("the device works")).expect("scores");
    assert_eq!((scored.len(), scored.classes()), (196, 3));
    let area = |class| {
        let points = scored.roc_curve(class);
        points.windows(2).map(|p| (p[1].0 - p[0].0) * (p[0].1 + p[1].1) / 2.0).sum::<f64>()
    };
    let sum = |class| {
        let points = scored.precision_recall_curve(class);
        points.windows(2).map(|p| (p[1].0 - p[0].0) * p[1].1).sum::<f64>()
    };
    let mean = |of: &dyn Fn(usize) -> f64| (0..3).map(of).sum::<f64>() / 3.0;
    assert!((mean(&area) - auc.value().expect("the device works")).abs() < 1e-6);
    assert!((mean(&sum) - precision.value().expect("the device works")).abs() < 1e-6);
    let bins = scored.calibration(10);
    assert_eq!(bins.iter().map(|bin| bin.items).sum::<usize>(), 196);
    let right: f64 = bins.iter().map(|bin| bin.accuracy * bin.items as f64).sum();
    assert!((right / 196.0 - scored.accuracy()).abs() < 1e-12);
    let worst = scored.worst(1000);
    assert_eq!(worst.len(), ((1.0 - scored.accuracy()) * 196.0).round() as usize);
    assert!(worst.windows(2).all(|pair| pair[0].loss >= pair[1].loss) && worst[0].item % 50 != 7);
    let wrong = Scored::of_sums(&[3.0, 0.0]).expect_err("a row of 5").to_string();
    assert!(wrong.contains("expected what `Scores` collected, got 2 numbers"), "{wrong}");
}
