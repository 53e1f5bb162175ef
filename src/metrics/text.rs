//! Figures of texts.

use std::collections::HashMap;
use std::hash::Hash;

/// BLEU of a corpus (Papineni et al., 2002), by tokens: the geometric mean of the parts of runs of 1 to n tokens that stand
/// in a reference too, each counted at most as often as there, and a penalty where texts are shorter than their references.
/// From 0 to 1, without smoothing: where no run of n tokens is right it is 0.
///
/// ```
/// use wgrad::metrics::Bleu;
/// let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
/// let mut bleu = Bleu::new(4);
/// bleu.add(&words("the cat sat on the mat today"), &[&words("the cat sat on the mat"), &words("a cat sat on a mat")]);
/// assert!((bleu.value() - 0.809_107).abs() < 1e-6);
/// ```
#[doc(alias("BLEUScore", "corpus_bleu"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bleu {
    /// Right ones and all, of each length.
    runs: Vec<[u64; 2]>,
    length: u64,
    reference: u64,
}

impl Bleu {
    /// Of runs of up to so many tokens, at least 1; 4 is usual.
    pub fn new(longest: usize) -> Bleu {
        Bleu { runs: vec![[0; 2]; longest.max(1)], length: 0, reference: 0 }
    }

    /// Adds a text and those that it should be like, of which the one nearest in length counts for the penalty, and of two
    /// the shorter.
    pub fn add<T: Hash + Eq>(&mut self, text: &[T], references: &[&[T]]) {
        self.length += text.len() as u64;
        let nearest = references.iter().map(|own| own.len()).min_by_key(|len| (len.abs_diff(text.len()), *len));
        self.reference += nearest.unwrap_or(0) as u64;
        for (n, [right, all]) in self.runs.iter_mut().enumerate() {
            let references: Vec<_> = references.iter().map(|own| counted(own, n + 1)).collect();
            for (run, count) in counted(text, n + 1) {
                let most = references.iter().filter_map(|own| own.get(run)).max().copied().unwrap_or(0);
                *right += count.min(most);
                *all += count;
            }
        }
    }

    /// The figure so far.
    pub fn value(&self) -> f64 {
        if self.runs.iter().any(|[right, _]| *right == 0) {
            return 0.0;
        }
        let logs: f64 = self.runs.iter().map(|[right, all]| (*right as f64 / *all as f64).ln()).sum();
        let penalty = (1.0 - self.reference as f64 / self.length as f64).min(0.0);
        (penalty + logs / self.runs.len() as f64).exp()
    }
}

/// How often each run of n tokens is there.
fn counted<T: Hash + Eq>(text: &[T], n: usize) -> HashMap<&[T], u64> {
    let mut counts = HashMap::new();
    text.windows(n).for_each(|run| *counts.entry(run).or_default() += 1);
    counts
}
