//! The page of a run: whole, by itself, and readable by the next.

use crate::train::trainer::{loader, network, plain};
use wgrad::Device;
use wgrad::metrics::{Accuracy, ConfusionCounts};
use wgrad::nn::Summary;
use wgrad::train::{Checkpoints, JsonLog, Report};

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
