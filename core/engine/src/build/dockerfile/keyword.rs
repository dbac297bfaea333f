//! The keywords somebody knows.

use std::collections::BTreeMap;

use wharf_model::Keyword;
use wharf_model::statement::KeywordSpec;

/// Keywords and how their lines look.
#[derive(Debug, Clone, Default)]
pub struct Keywords(BTreeMap<Keyword, KeywordSpec>);

impl Keywords {
    /// A lookup over `specs`.
    pub fn new(specs: impl IntoIterator<Item = KeywordSpec>) -> Self {
        Self(specs.into_iter().map(|spec| (spec.keyword.clone(), spec)).collect())
    }

    /// How a keyword's line looks.
    pub fn get(&self, keyword: &Keyword) -> Option<&KeywordSpec> {
        self.0.get(keyword)
    }

    /// Every keyword, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(Keyword::as_str)
    }
}

/// The candidate that `word` may have been meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |candidate: &str| strsim::damerau_levenshtein(&word, &candidate.to_lowercase());
    let within = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= within)
        .min()
        .map(|(_, candidate)| candidate)
}
