//! Text as numbers.

use std::path::Path;
use wgrad::data::Array;
use wgrad::nn::{StateDict, StateTensor, Values};
use wgrad::{Error, Result, Rng};

/// The play that comes with wgrad.
const PLAY: &str = include_str!("../data/text/hamlet.txt");

/// The name of the alphabet among saved weights.
const SAVED: &str = "alphabet";

/// The text of a file, or the play.
pub fn read(path: Option<&Path>) -> Result<String> {
    let Some(path) = path else { return Ok(PLAY.into()) };
    let bytes = std::fs::read(path).map_err(|error| Error::file_because(path, "cannot be read", error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Error::file(path, format!("is no text in UTF-8: byte {} is wrong", error.utf8_error().valid_up_to()))
    })?;
    if text.is_empty() { Err(Error::file(path, "is empty: name a file with text in it")) } else { Ok(text) }
}

/// The characters that a model knows, each with its number.
pub struct Alphabet(Vec<char>);

impl Alphabet {
    /// The characters of a text.
    pub fn of(text: &str) -> Alphabet {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all.dedup();
        Alphabet(all)
    }

    /// Takes the alphabet out of saved weights.
    pub fn take(saved: &mut StateDict, path: &Path) -> Result<Alphabet> {
        let broken = || Error::file(path, "holds no alphabet: --load takes what --save of this program wrote");
        let Some(StateTensor { values: Values::I64(codes), .. }) = saved.remove(SAVED) else { return Err(broken()) };
        let letter = |code: &i64| u32::try_from(*code).ok().and_then(char::from_u32).ok_or_else(broken);
        let all = codes.iter().map(letter).collect::<Result<Vec<char>>>()?;
        // Numbers are found by halving.
        if !all.is_empty() && all.is_sorted_by(|a, b| a < b) { Ok(Alphabet(all)) } else { Err(broken()) }
    }

    pub fn put(&self, saved: &mut StateDict) {
        let values = Values::I64(self.0.iter().map(|&letter| i64::from(u32::from(letter))).collect());
        saved.insert(SAVED.into(), StateTensor { shape: vec![self.0.len()], values });
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of each character of `text`; `what` is its name in the sentence about one that is unknown.
    pub fn numbers(&self, text: &str, what: &str) -> Result<Vec<i32>> {
        let number = |letter: char| {
            self.0.binary_search(&letter).map(|at| at as i32).map_err(|_| {
                let known = "use characters of the text that the model learned from";
                Error::Data(format!("{what} has {letter:?}, which the model does not know: {known}"))
            })
        };
        text.chars().map(number).collect()
    }

    pub fn letter(&self, number: i32) -> char {
        self.0[number as usize]
    }
}

/// What a model learns from, and what judges it.
pub struct Text {
    train: Vec<i32>,
    held_out: Vec<i32>,
}

impl Text {
    /// The last tenth is held out.
    pub fn new(mut numbers: Vec<i32>, context: usize) -> Result<Text> {
        let held_out = numbers.split_off(numbers.len() - numbers.len() / 10);
        if held_out.len() <= context {
            return Err(Error::Data(format!(
                "the text's last tenth, which is held out, has {} characters, and a context of {context} takes {}: \
                 use a longer text or a smaller --context",
                held_out.len(),
                context + 1
            )));
        }
        Ok(Text { train: numbers, held_out })
    }

    /// The characters to train on, and those held out.
    pub fn sizes(&self) -> [usize; 2] {
        [self.train.len(), self.held_out.len()]
    }

    /// Pieces `[pieces, context]` from anywhere in the training part, and as much from a character further on.
    pub fn draw(&self, pieces: usize, context: usize, rng: &mut Rng) -> [Array; 2] {
        let places = (self.train.len() - context) as u32;
        let starts: Vec<usize> = (0..pieces).map(|_| rng.below(places) as usize).collect();
        [0, 1].map(|further| {
            let piece = |start: &usize| &self.train[start + further..][..context];
            Array::new(starts.iter().flat_map(piece).copied().collect::<Vec<i32>>(), [pieces, context])
        })
    }

    /// The held-out part in pieces that do not overlap; a rest may be left.
    pub fn held_out(&self, context: usize) -> Vec<(Vec<i32>, Vec<i32>)> {
        let pieces = self.held_out.windows(context + 1).step_by(context);
        pieces.map(|piece| (piece[..context].to_vec(), piece[1..].to_vec())).collect()
    }
}
