//! Tables that are written in other ways, and names that are none.

use std::fs;
use wgrad::data::{Encoder, Table, TableOptions, Target};
use wgrad::{Error, Result};

fn told(text: &str) -> String {
    Table::parse("t.csv", text.as_bytes()).expect_err("it is none").to_string()
}

fn names(all: &[&str]) -> Option<Vec<String>> {
    Some(all.iter().map(|name| name.to_string()).collect())
}

#[test]
fn a_header_that_is_none_is_told_with_a_way_out() {
    for (text, separator) in
        [("a;b\n1;2\n", "';'"), ("a\tb\n1\t2\n", "'\\t'"), ("a|b\n1|2\n", "'|'"), ("a;b\n1,5;2\n", "';'")]
    {
        let told = told(text);
        assert!(told.starts_with("t.csv, line 1: the only column is called"), "{told}");
        assert!(told.contains(&format!("TableOptions {{ separator: {separator}, .. }}")), "{told}");
    }
    for text in ["5.1,3.5,1.4,setosa\n4.9,3.0,1.4,setosa\n", "5,0,0,17\n4,0,0,3\n", "6,148,72\n1,85,66\n", "0.5\n0.7\n"]
    {
        let told = told(text);
        assert!(told.starts_with("t.csv, line 1: names of columns are numbers ("), "{told}");
        assert!(told.contains("`TableOptions { names: Some(..), .. }`"), "{told}");
    }
    for (text, problem) in [
        (",a\n0,1\n", "column 1 has no name: each needs its own name"),
        ("a,b,a\n0,1,2\n", "column 3 is called `a`, as one before it: each needs its own name"),
        ("\na,,b\n0,1,2\n", "column 2 has no name"),
    ] {
        let told = told(text);
        assert!(told.contains(problem) && told.contains("names: Some(..), skip: 1"), "{told}");
    }
    // Years, and what other programs count, are names.
    for text in [
        "country,1990,1991\nA,1,2\n",
        "0,1,2\n7.5,1,2\n",
        "1990,1991\n3,1\n",
        "0\n7\n",
        "q,0.1,0.5,0.9\na,1,2,3\n",
        "nan,inf\n1,2\n",
    ] {
        Table::parse("t.csv", text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn a_table_is_read_as_it_is_said_to_be_written() -> Result<()> {
    let options = TableOptions { separator: ';', ..TableOptions::default() };
    let table = Table::parse_with("t.csv", b"a;b\n\"x;y\";1\n1,5;2\n", &options)?;
    assert_eq!(
        (table.header(), table.text(0, 0), table.text(1, 0)),
        (&names(&["a", "b"]).expect("names")[..], Some("x;y"), Some("1,5"))
    );
    let tabs = TableOptions { separator: '\t', names: names(&["a", "b"]), ..TableOptions::default() };
    let table = Table::parse_with("t.csv", b"1\t2\n\t\n 3 \t4", &tabs)?;
    assert_eq!(
        (table.len(), table.number(0, 0)?, table.text(1, 1), table.number(2, 0)?),
        (3, Some(1.0), None, Some(3.0))
    );
    // A header of other names is left out, and lines keep their numbers.
    let others = TableOptions { names: names(&["id", "x"]), skip: 1, ..TableOptions::default() };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.csv");
    fs::write(&path, "\u{feff},x\n0,1\n1,\n").expect("it can be written");
    let table = Table::read_with(&path, &others)?;
    assert_eq!((table.column("id")?, table.len(), table.number(1, 1)?), (0, 2, None));
    assert!(table.place(0).ends_with("t.csv, line 2"), "{}", table.place(0));
    let refused = |text: &str, options: &TableOptions| {
        Table::parse_with("t.csv", text.as_bytes(), options).expect_err("refused").to_string()
    };
    assert_eq!(
        refused("1,2,3\n", &TableOptions { names: names(&["a", "b"]), ..TableOptions::default() }).as_str(),
        "t.csv, line 1: there are 3 fields where there are names for 2"
    );
    assert!(
        refused("a\n1\n", &TableOptions { skip: 2, ..TableOptions::default() })
            .contains("expected a header and rows after it")
    );
    for options in [
        TableOptions { names: names(&["a", "a"]), ..TableOptions::default() },
        TableOptions { separator: '"', ..TableOptions::default() },
    ] {
        assert!(matches!(Table::parse_with("t.csv", b"1,2\n", &options), Err(Error::Option(_))));
    }
    Ok(())
}

#[test]
fn categories_that_are_not_known_are_told_or_left_out() -> Result<()> {
    let table = Table::parse("t.csv", b"kind,size,y\na,1,p\nb,2,q\nc,3,p\n")?;
    let train = [0, 1];
    for error in [
        Encoder::fit(&table, &train, &["kind"], &["siez"]).map(drop),
        Target::fit(&table, &train, "y", &["siez"]).map(drop),
    ] {
        let told = error.expect_err("a slip of the pen").to_string();
        assert!(told.contains("there is no column `siez` among kind, size, y"), "{told}");
    }
    let encoder = Encoder::fit(&table, &train, &["kind", "size"], &["size", "y"])?;
    let told = encoder.rows(&table, &[2]).expect_err("of no training row").to_string();
    assert!(told.contains("line 4, column `kind`: `c` is in no training row; known are a, b"), "{told}");
    let encoder = encoder.ignore_unknown();
    let rows = [[1.0, 0.0, 1.0, 0.0], [0.0; 4]];
    assert_eq!(encoder.rows(&table, &[0, 2])?, rows);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("encoder.json");
    encoder.save(&path)?;
    assert_eq!(Encoder::load(&path)?.rows(&table, &[0, 2])?, rows);
    Ok(())
}
