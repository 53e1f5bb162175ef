//! The custom kernel example as its user meets it: its checks on every device, and a small training run.

use crate::program::run;

#[test]
fn the_operation_is_checked_and_trained_on_every_device() {
    for (name, _) in crate::devices::devices() {
        let said = run("custom_kernel", &[], &[&"--device", &name, &"--steps=100"]);
        let outside: f32 =
            said.ends("snake ").split_whitespace().last().expect("two errors").parse().expect("a number");
        let checks = ["the gradient agrees with differences of the function", "each kernel agrees with its definition"];
        assert!(said.out.lines().zip(checks).all(|(line, check)| line == check), "{said:#?}");
        // Far from what more steps reach, and still below all that does not repeat itself.
        assert!(outside < 5.0, "{said:#?}");
    }
}

#[test]
fn mistakes_get_one_sentence() {
    run("custom_kernel", &[], &[&"--steps=many"]).refuses_usage(&["many", "--steps"]);
    run("custom_kernel", &[], &[&"--device=cpu", &"--lr=nan"]).refuses(&["learning rate", "NaN"]);
}
