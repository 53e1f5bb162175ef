//! Sets of other kinds: pictures in folders, files of tokens, CIFAR-100, and how items are dealt and drawn.

use std::fs;
use std::path::Path;
use wgrad::Error;
use wgrad::data::{
    DataLoader, Dataset, Encoder, ImageFolder, LoaderOptions, Padded, Scale, SeriesWindows, Table, Target, TextLines,
    TokenWindows, WindowOptions, balanced, cifar, save_images,
};

/// A PNG file of `size` by `size` pixels.
fn picture(path: &Path, colour: png::ColorType, size: u32, pixel: &[u8]) {
    let file = fs::File::create(path).expect("it can be made");
    let mut encoder = png::Encoder::new(file, size, size);
    encoder.set_color(colour);
    let bytes = pixel.repeat((size * size) as usize);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes)).expect("it can be written");
}

#[test]
fn pictures_in_folders_are_read_resized_and_named_where_they_are_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let [cats, dogs] = ["cats", "dogs"].map(|name| folder.path().join(name));
    [&cats, &dogs].iter().for_each(|path| fs::create_dir(path).expect("it can be made"));
    picture(&cats.join("b.png"), png::ColorType::Rgb, 5, &[255, 0, 51]);
    picture(&cats.join("a.PNG"), png::ColorType::Grayscale, 2, &[102]);
    picture(&dogs.join("c.png"), png::ColorType::Rgba, 3, &[255, 255, 0, 51]);
    fs::write(cats.join("notes.txt"), "no picture").expect("it can be written");
    let set = ImageFolder::open(folder.path(), [3, 3, 4]).expect("it is one");
    assert_eq!((set.len(), set.labels(), set.classes().join(" ")), (3, vec![0, 0, 1], "cats dogs".to_string()));
    let near = |row: usize, want: [f32; 3]| {
        let (pixels, _) = set.get(row).expect("a picture");
        let all = pixels.f32s().chunks(12).zip(want);
        for (plane, want) in all {
            assert!(plane.iter().all(|value| (value - want).abs() < 1e-6), "{row}: {plane:?} {want}");
        }
    };
    near(0, [0.4; 3]);
    near(1, [1.0, 0.0, 0.2]);
    near(2, [0.2, 0.2, 0.0]);
    let grey = ImageFolder::open(folder.path(), [1, 2, 2]).expect("it is one");
    assert!((grey.get(1).expect("a picture").0.f32s()[0] - (0.299 + 0.2 * 0.114)).abs() < 1e-6);

    // A ramp stays a ramp, larger and smaller.
    let ramp: Vec<u8> = (0..64).map(|at| at % 8 * 32).collect();
    let file = fs::File::create(dogs.join("ramp.png")).expect("it can be made");
    let mut encoder = png::Encoder::new(file, 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&ramp)).expect("it can be written");
    for (size, inner) in [(4, 1..3), (16, 2..14)] {
        let set = ImageFolder::open(folder.path(), [1, size, size]).expect("it is one");
        let row = set.get(3).expect("the ramp").0.f32s()[..size].to_vec();
        for at in inner {
            let want = ((at as f32 + 0.5) * 8.0 / size as f32 - 0.5) * 32.0 / 255.0;
            assert!((row[at] - want).abs() < 1e-5, "{size}: {row:?}");
        }
    }

    let whole = fs::read(dogs.join("c.png")).expect("it is there");
    fs::write(dogs.join("c.png"), &whole[..whole.len() / 2]).expect("it can be written");
    let loader = DataLoader::new(set.clone(), LoaderOptions { workers: 2, batch_size: 1, ..LoaderOptions::default() });
    let all: Vec<_> = loader.expect("a loader").epoch(0).collect();
    let told = all.last().expect("batches").as_ref().expect_err("one is cut off").to_string();
    assert!(all.len() == 3 && told.contains("c.png") && told.contains("is no whole PNG file"), "{told}");
    fs::create_dir(folder.path().join("empty")).expect("it can be made");
    let told = ImageFolder::open(folder.path(), [3, 2, 2]).expect_err("a class without a picture").to_string();
    assert!(told.contains("empty: has no PNG file"), "{told}");
    let told = ImageFolder::open(&cats, [3, 2, 2]).expect_err("no classes").to_string();
    assert!(told.contains("cats: has no folder in it"), "{told}");
    assert!(ImageFolder::open(folder.path(), [2, 2, 2]).is_err());
}

#[test]
fn images_become_one_picture() {
    let (device, folder) = (wgrad::Device::cpu(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("grid.png");
    let values: Vec<f32> = (0..3 * 3 * 4).map(|at| at as f32 / 35.0 * 2.0 - 1.0).collect();
    let images = wgrad::Tensor::from_vec(values, [3, 3, 2, 2], &device);
    save_images(&path, &images, 2, [-1.0, 1.0]).expect("it is written");
    let mut png = png::Decoder::new(std::io::BufReader::new(fs::File::open(&path).expect("it is there")));
    png.set_transformations(png::Transformations::IDENTITY);
    let mut reader = png.read_info().expect("a PNG file");
    let mut pixels = vec![0; 6 * 6 * 3];
    let head = reader.next_frame(&mut pixels).expect("a whole one");
    assert_eq!((head.width, head.height, head.color_type), (6, 6, png::ColorType::Rgb));
    let at = |y: usize, x: usize| &pixels[(y * 6 + x) * 3..][..3];
    let byte = |at: f32| (at / 35.0 * 255.0).round() as u8;
    // The first pixel of the first image, the last of the second, and of the third, in a row of its own; dark between them.
    assert_eq!((at(0, 0), at(1, 5)), (&[0.0, 4.0, 8.0].map(byte)[..], &[15.0, 19.0, 23.0].map(byte)[..]));
    assert_eq!((at(5, 1), at(0, 2), at(4, 4)), (&[27.0, 31.0, 35.0].map(byte)[..], &[0; 3][..], &[0; 3][..]));
    let told = |shape: [usize; 4]| {
        let wrong = save_images(&path, &wgrad::Tensor::zeros(shape, &device), 2, [0.0, 1.0]).expect_err("no images");
        wrong.to_string()
    };
    assert!(told([1, 2, 4, 4]).contains("[1, 2, 4, 4]: expected") && told([0, 1, 4, 4]).contains("nothing to see"));
}

#[test]
fn series_are_cut_into_windows_and_sets_are_zipped() {
    let options = |stride| WindowOptions { context: 3, horizon: 2, stride, ..WindowOptions::default() };
    let series =
        |steps: usize, stride| SeriesWindows::new((0..steps).map(|at| at as f32).collect(), 1, options(stride));
    let set = series(12, 4).expect("there are windows");
    let [seen, next] = set.batch(&[0, 1]).expect("two");
    assert_eq!((set.len(), seen.f32s(), next.shape()), (2, &[0.0, 1.0, 2.0, 4.0, 5.0, 6.0][..], &[2, 2, 1][..]));
    assert_eq!(next.f32s(), [3.0, 4.0, 7.0, 8.0]);
    assert_eq!(series(5, 1).expect("one window").len(), 1);
    let told = |set: wgrad::Result<SeriesWindows>| set.expect_err("no windows").to_string();
    assert!(told(series(4, 1)).contains("a series of 4 steps has no 3 and 2 that follow"));
    assert!(told(series(9, 0)).contains("a stride of 0"));
    assert!(
        told(SeriesWindows::new(vec![0.0; 7], 2, options(1))).contains("7 values are no whole number of steps of 2")
    );
    let wrong = WindowOptions { targets: Some(vec![1, 2]), ..options(1) };
    assert!(told(SeriesWindows::new(vec![0.0; 20], 2, wrong)).contains("a target 2 of a width of 2"));
    let told = vec![1.0f32, 2.0].zip(vec![1]).expect_err("one is longer").to_string();
    assert!(told.contains("zip: a set of 2 items and one of 1"), "{told}");
}

#[test]
fn files_of_tokens_give_what_tokens_in_memory_give() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens: Vec<i32> = (0..50).map(|at| at * at * 17 % 60_000).collect();
    let want = TokenWindows::new(tokens.clone(), 6, 4).expect("there are pieces");
    assert_eq!(want.len(), 11);
    for bytes in [2, 4] {
        let path = folder.path().join(format!("tokens.{bytes}"));
        let file: Vec<u8> = tokens.iter().flat_map(|token| token.to_le_bytes()[..bytes].to_vec()).collect();
        fs::write(&path, &file).expect("it can be written");
        let set = TokenWindows::open(&path, bytes, 6, 4).expect("it is one");
        assert_eq!((set.tokens(), set.len()), (50, 11));
        (0..11).for_each(|row| assert_eq!(set.get(row).expect("a piece"), want.get(row).expect("a piece")));
        fs::write(&path, &file[..file.len() - 1]).expect("it can be written");
        let told = TokenWindows::open(&path, bytes, 6, 4).expect_err("it is cut off").to_string();
        assert!(told.contains("no whole number of tokens"), "{told}");
    }
    assert!(TokenWindows::new(vec![1; 6], 6, 1).expect_err("too few").to_string().contains("smaller context"));
    assert!(TokenWindows::new(vec![1; 6], 3, 0).expect_err("no stride").to_string().contains("at least 1"));
}

#[test]
fn a_hundred_classes_are_told_by_their_finer_label() {
    let folder = tempfile::tempdir().expect("a folder");
    let record = |coarse: u8, fine: u8| [vec![coarse, fine], vec![fine; 3072]].concat();
    let write = |name: &str, bytes: Vec<u8>| fs::write(folder.path().join(name), bytes).expect("it can be written");
    write("train.bin", [record(3, 99), record(19, 0)].concat());
    write("test.bin", record(1, 42));
    let set = cifar::load_100(folder.path()).expect("it is one");
    assert_eq!((set.train.labels(), set.test.labels(), set.train.classes()), (&[99, 0][..], &[42][..], 100));
    assert!(set.train.image(0).iter().all(|pixel| *pixel == 99));
    write("test.bin", record(1, 100));
    assert!(cifar::load_100(folder.path()).expect_err("no class").to_string().contains("label 100 is not in 0..100"));
}

#[test]
fn items_are_drawn_by_their_weights_and_dealt_by_their_classes() {
    let labels: Vec<i32> = (0..1000).map(|row| i32::from(row % 10 == 0)).collect();
    let set: Vec<i32> = labels.clone();
    let options = |weights| LoaderOptions { shuffle: Some(3), weights: Some(weights), ..LoaderOptions::default() };
    let loader = DataLoader::new(set.clone(), options(balanced(&labels))).expect("good weights");
    let ones = |epoch| loader.order(epoch).iter().filter(|row| labels[**row] == 1).count();
    assert!((440..560).contains(&ones(0)) && ones(0) != ones(1) && ones(0) == ones(0), "{} {}", ones(0), ones(1));
    let single: Vec<f64> = (0..1000).map(|row| f64::from(u8::from(row == 999))).collect();
    let loader = DataLoader::new(set.clone(), options(single.into())).expect("good weights");
    assert!(loader.order(0).iter().all(|row| *row == 999));
    for wrong in [vec![1.0; 999], vec![0.0; 1000], vec![-1.0; 1000], vec![f64::NAN; 1000]] {
        let told = DataLoader::new(set.clone(), options(wrong.into())).expect_err("bad weights").to_string();
        assert!(told.contains("of 1000 items: expected one for each"), "{told}");
    }

    let parts = set.clone().stratified_split([0.5, 0.25, 0.25], &labels, 1).expect("good shares");
    let counts = parts.each_ref().map(|part| (part.len(), part.rows().iter().filter(|row| labels[**row] == 1).count()));
    assert_eq!(counts, [(500, 50), (250, 25), (250, 25)]);
    let mut all: Vec<usize> = parts.iter().flat_map(|part| part.rows().to_vec()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..1000).collect::<Vec<_>>());
    // Classes that are not divided without rest: (classes, items of each, of the first part, of each class in it).
    for (classes, each, share, first, least) in
        [(10, 3, 0.8, 24, 2), (10, 2, 0.8, 16, 1), (40, 12, 0.8, 384, 9), (7, 1, 0.5, 4, 0), (3, 5, 0.6, 9, 3)]
    {
        let labels: Vec<i32> = (0..classes * each).map(|row| row % classes).collect();
        let set: Vec<i32> = labels.clone();
        for seed in 0..5 {
            let [one, two] = set.clone().stratified_split([share, 1.0 - share], &labels, seed).expect("good shares");
            assert_eq!((one.len(), two.len()), (first, set.len() - first), "{classes} of {each}");
            for class in 0..classes {
                let of = one.rows().iter().filter(|row| labels[**row] == class).count();
                assert!((least..=least + 1).contains(&of), "{classes} of {each}: {of} of class {class}");
            }
        }
    }
    assert!(set.clone().stratified_split([0.8, 0.3], &labels, 1).is_err());
    assert!(set.stratified_split([0.8], &labels[1..], 1).is_err());
}

#[test]
fn batches_are_of_like_lengths_and_padded() {
    let lengths: Vec<usize> = (0..1003).map(|row| 1 + row * 37 % 101).collect();
    let set: Vec<Padded<i32>> = lengths.iter().map(|length| Padded::new(vec![*length as i32; *length], -1)).collect();
    let options = |lengths: Option<Vec<usize>>| LoaderOptions {
        batch_size: 10,
        shuffle: Some(3),
        lengths: lengths.map(Into::into),
        ..LoaderOptions::default()
    };
    let padding = |loader: &DataLoader<Vec<Padded<i32>>>, epoch| {
        let (mut rows, mut padded) = (Vec::new(), 0);
        for batch in loader.epoch(epoch) {
            let batch = batch.expect("a batch");
            let [count, width] = batch.columns[0].shape() else { panic!("no rows") };
            assert_eq!(
                (*count, *width),
                (batch.rows.len(), batch.rows.iter().map(|row| lengths[*row]).max().expect("rows"))
            );
            padded += batch.columns[0].i32s().iter().filter(|value| **value == -1).count();
            rows.extend(batch.rows);
        }
        let order = rows.clone();
        rows.sort_unstable();
        assert_eq!(rows, (0..1003).collect::<Vec<_>>(), "every item once");
        (order, padded)
    };
    let loader = DataLoader::new(set.clone(), options(Some(lengths.clone()))).expect("a length for each");
    let plain = DataLoader::new(set.clone(), options(None)).expect("good options");
    let ((order, few), (other, _), (_, many)) = (padding(&loader, 0), padding(&loader, 1), padding(&plain, 0));
    assert!(few * 10 < many, "{few} against {many}");
    assert_eq!(order, padding(&loader, 0).0);
    assert_ne!(order, other);
    // Long and short batches take turns.
    let firsts: Vec<usize> = order.chunks(10).map(|rows| lengths[rows[0]]).collect();
    assert!(!firsts.is_sorted() && !firsts.is_sorted_by(|a, b| a >= b));
    let told = DataLoader::new(set, options(Some(lengths[1..].to_vec()))).expect_err("one is missing").to_string();
    assert!(told.contains("1002 lengths of 1003 items"), "{told}");
}

#[test]
fn an_encoder_is_kept_in_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = Table::parse("t.csv", "a,b\n1.25,x\n,y\n3,\n".as_bytes()).expect("a table");
    let encoder = Encoder::fit(&table, &[0, 1, 2], &["a", "b"], &[]).expect("it fits");
    let path = folder.path().join("encoder.json");
    encoder.save(&path).expect("it can be written");
    // A new file takes the place of the old one, which stays whole until then.
    let old = path.with_extension("old");
    std::fs::hard_link(&path, &old).expect("a second name");
    std::fs::write(&old, "the old one").expect("it is written");
    encoder.save(&path).expect("it can be written");
    assert_eq!(std::fs::read_to_string(&old).expect("it is there"), "the old one");
    assert_eq!(Encoder::load(&path).expect("it can be read"), encoder);
    fs::write(&path, "{\"columns\": [{\"name\": 3}]}").expect("it can be written");
    assert!(Encoder::load(&path).expect_err("it is none").to_string().contains("holds no encoder"));
}

#[test]
fn a_missing_number_may_be_a_word() {
    let table = |text: &str| Table::parse("t.csv", text.as_bytes()).expect("a table");
    let fit = |table: &Table| Encoder::fit(table, &(0..table.len()).collect::<Vec<_>>(), &["x"], &[]);
    for word in ["nan", "NaN", "-NaN", "null", "NULL", "None", "N/A", "n/a", "<NA>", "#N/A", "NA", "\" nan \"", ""] {
        // One number, and nothing but missing ones beside it.
        let rows = table(&format!("x,y\n1,0\n{word},0\n3,0\n{word},0\n{word},0\n"));
        let encoder = fit(&rows).unwrap_or_else(|error| panic!("{word}: {error}"));
        assert_eq!(encoder.names(), ["x", "x is missing"], "{word}");
        let got = encoder.rows(&rows, &[0, 1, 2]).expect("it fits");
        assert_eq!((got[1][0], got[0][1], got[1][1], got[0][0]), (0.0, 0.0, 1.0, -got[2][0]), "{word}");
        assert_eq!(Target::fit(&rows, &[0, 1, 2], "x", &[]).expect("it fits").outputs(), 1, "{word}");
    }
    // Among words they are words.
    let words = table("x,y\nNone,1\nbrick,1\nNA,1\nN/A,1\n");
    assert_eq!(fit(&words).expect("it fits").names(), ["x=N/A", "x=None", "x=brick"]);
    // Signs of a file's own.
    let own = table("x,y\n1,?\n?,b\n-999,a\n2,?\n");
    let told = fit(&own).expect_err("neither numbers nor categories").to_string();
    assert!(told.starts_with("t.csv, line 3, column `x`: `?` is no number, and 3 of 4 fields"), "{told}");
    assert_eq!(Encoder::fit(&own, &[0, 1, 2, 3], &["x"], &["x"]).expect("it fits").width(), 4);
    assert!(Target::fit(&own, &[0, 1, 2, 3], "x", &[]).is_err());
    let own = own.with_missing(&["?", "-999"]);
    assert_eq!((own.number(2, 0), own.text(0, 1), own.text(1, 1)), (Ok(None), None, Some("b")));
    assert_eq!(fit(&own).expect("it fits").names(), ["x", "x is missing"]);
    // Categories, an error, and a slip of the pen or none: by how many of ten are numbers.
    for (numbers, width) in [(0, Some(1)), (4, Some(2)), (5, None), (8, None), (9, None), (10, Some(1))] {
        let rows: String = (0..10).map(|row| if row < numbers { "1,0\n" } else { "1e39,0\n" }).collect();
        let got = fit(&table(&format!("x,y\n{rows}"))).map(|encoder| encoder.width());
        assert_eq!(got.clone().ok(), width, "{numbers}: {got:?}");
    }
}

#[test]
fn numbers_that_are_all_one_become_nothing() {
    for (number, count) in [(0.1, 3), (0.1, 100_000), (-1e30, 7), (0.0, 2), (123_456.7, 1)] {
        let scale = Scale::of(&vec![number; count]);
        assert_eq!((scale, scale.apply(number)), (Scale { mean: number, std: 1.0 }, 0.0), "{count} times {number}");
    }
    // One after the other but for rounding, and what differs by more.
    let scale = Scale::of(&[0.3, 0.1 + 0.2, 0.3]);
    assert!(scale.std == 1.0 && scale.apply(0.3).abs() < 1e-15, "{scale:?}");
    let scale = Scale::of(&[1e9, 1e9 + 2.0]);
    assert_eq!((scale.mean, scale.std, scale.apply(1e9)), (1e9 + 1.0, 1.0, -1.0));
    let scale = Scale::of(&[1e9, 1e9 + 1e-3]);
    assert!((scale.apply(1e9) + 1.0).abs() < 1e-3, "{scale:?}");
    let table = Table::parse("t.csv", b"a,b\n0.1,1\n0.1,2\n0.1,3\n").expect("a table");
    let encoder = Encoder::fit(&table, &[0, 1, 2], &["a"], &[]).expect("it fits");
    assert_eq!(encoder.rows(&table, &[0, 1, 2]).expect("they fit"), vec![vec![0.0]; 3]);
}

#[test]
fn rows_without_a_value_are_rows_and_quotes_keep_their_space() {
    let table = |text: &str| Table::parse("t.csv", text.as_bytes()).expect("a table");
    let rows = table("a,b\n1,2\n,\n\n   \r\n  ,\t\n3, 4 \n\n");
    assert_eq!(rows.len(), 4);
    let texts = |rows: &Table, column| (0..rows.len()).map(|row| rows.text(row, column).map(String::from)).collect();
    let told: [Vec<Option<String>>; 2] = [texts(&rows, 0), texts(&rows, 1)];
    assert_eq!(told[0], [Some("1".into()), None, None, Some("3".into())]);
    assert_eq!(told[1], [Some("2".into()), None, None, Some("4".into())]);
    assert_eq!(rows.place(2), "t.csv, line 6");
    let encoder = Encoder::fit(&rows, &[0, 1, 2, 3], &["a"], &[]).expect("it fits");
    assert_eq!(encoder.rows(&rows, &[1]).expect("it fits"), [[0.0, 1.0]]);

    let one = table("a\n\"\"\n\nx\n\"\"");
    assert_eq!((one.len(), one.text(0, 0), one.text(1, 0), one.text(2, 0)), (3, None, Some("x"), None));
    let quoted = table("a, \"b\" \n\" x \", \" \"\"y\"\" \" \r\n\" 7 \",\"\n\"\n");
    assert_eq!(quoted.header(), ["a", "b"]);
    assert_eq!((quoted.text(0, 0), quoted.text(0, 1)), (Some(" x "), Some(" \"y\" ")));
    assert_eq!((quoted.number(1, 0), quoted.text(1, 1)), (Ok(Some(7.0)), Some("\n")));
    let wrong = Table::parse("t.csv", b"a,b,c\n1,2,3\n,\n").expect_err("two fields").to_string();
    assert!(wrong.ends_with("t.csv, line 3: there are 2 fields where the header has 3"), "{wrong}");
    assert!(Table::parse("t.csv", b"a\n\"x\n").expect_err("open").to_string().contains("line 2: a quote has no end"));
}

#[test]
fn lines_are_read_one_by_one_and_mistakes_have_their_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lines.txt");
    std::fs::write(&path, "1 2\n\n  \r\n3 4\r\nfive\n7").expect("it can be written");
    let numbers = |line: &str| {
        let all = line.split(' ').map(|word| word.parse::<i32>());
        all.collect::<Result<Vec<i32>, _>>().map_err(|error| Error::Data(error.to_string()))
    };
    let lines = TextLines::open(&path, numbers).expect("it is there");
    assert_eq!((lines.len(), lines.get(1).expect("whole"), lines.get(3).expect("whole")), (4, vec![3, 4], vec![7]));
    let text = lines.get(2).expect_err("no number").to_string();
    assert!(text.ends_with("lines.txt: line 5: invalid digit found in string"), "{text}");
    std::fs::write(&path, "\u{feff}5 6\n\u{feff}7").expect("it can be written");
    let marked = TextLines::open(&path, numbers).expect("it is there");
    assert_eq!((marked.len(), marked.get(0).expect("whole"), marked.get(1).is_err()), (2, vec![5, 6], true));
    std::fs::write(&path, "\u{feff}\r\n8").expect("it can be written");
    let marked = TextLines::open(&path, numbers).expect("it is there");
    assert_eq!((marked.len(), marked.get(0).expect("whole")), (1, vec![8]));
    std::fs::write(&path, b"a\xff\n").expect("it can be written");
    let text = TextLines::open(&path, numbers).expect("it is there").get(0).expect_err("no text").to_string();
    assert!(text.ends_with("line 1: it is no UTF-8"), "{text}");
    let text = TextLines::open(folder.path().join("none"), numbers).err().expect("nothing is there").to_string();
    assert!(text.contains("cannot be read"), "{text}");
    assert!(lines.get(9).is_err());
}
