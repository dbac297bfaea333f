//! `--filter` of `images`: values of `reference` are alternatives, all else must fit.

use jiff::Timestamp;
use wharf_store::{RecordError, ResolveError};

use super::list::ImageSummary;
use crate::Engine;
use crate::build::pattern::{Glob, PatternError};

/// What docker can filter images by.
const KEYS: &str = "before, dangling, label, reference, since, until";

/// Which images are wanted.
#[derive(Debug, Clone, Default)]
pub struct ImageFilter {
    dangling: Option<bool>,
    labels: Vec<(String, Option<String>)>,
    references: Vec<Glob>,
    before: Option<String>,
    since: Option<String>,
    until: Option<Timestamp>,
}

/// Why images can not be filtered so.
#[derive(Debug, thiserror::Error)]
pub enum ImageFilterError {
    /// Without a value.
    #[error("bad format of filter `{0}` (expected name=value)")]
    Format(String),
    /// No such key.
    #[error("invalid filter `{0}`: expected one of {KEYS}")]
    Unknown(String),
    /// Neither yes nor no.
    #[error("invalid filter `dangling={0}`: expected true or false")]
    Dangling(String),
    /// No pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// An image that others are to be older or younger than.
    #[error(transparent)]
    Image(#[from] ResolveError),
    /// The records.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl ImageFilter {
    /// Adds `key=value`, but for `until`.
    ///
    /// # Errors
    /// When it is not that, or there is no such key.
    pub fn add(&mut self, text: &str) -> Result<(), ImageFilterError> {
        let (key, value) = text.split_once('=').ok_or_else(|| ImageFilterError::Format(text.to_owned()))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "dangling" => match value {
                "true" | "1" => self.dangling = Some(true),
                "false" | "0" => self.dangling = Some(false),
                other => return Err(ImageFilterError::Dangling(other.to_owned())),
            },
            "label" => self.labels.push(match value.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (value.to_owned(), None),
            }),
            "reference" => self.add_reference(value)?,
            "before" => self.before = Some(value.to_owned()),
            "since" => self.since = Some(value.to_owned()),
            other => return Err(ImageFilterError::Unknown(other.to_owned())),
        }
        Ok(())
    }

    /// Only images whose name, with or without its tag, is like this: `*` stands for no `/`.
    ///
    /// # Errors
    /// When it is no pattern.
    pub fn add_reference(&mut self, pattern: &str) -> Result<(), ImageFilterError> {
        self.references.push(Glob::component(pattern)?);
        Ok(())
    }

    /// Only images that came here before this time.
    pub fn until(&mut self, time: Timestamp) {
        self.until = Some(time);
    }

    /// Whether an image is wanted, apart from its age.
    fn fits(&self, image: &ImageSummary) -> bool {
        let label = |(name, value): &(String, Option<String>)| {
            image.labels.get(name).is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
        };
        let named = || {
            let Some(name) = &image.name else { return false };
            let forms = [name.familiar(), name.familiar_name(), name.to_string()];
            self.references.iter().any(|pattern| forms.iter().any(|form| pattern.matches(form)))
        };
        self.dangling.is_none_or(|dangling| dangling == image.name.is_none())
            && self.labels.iter().all(label)
            && (self.references.is_empty() || named())
    }
}

impl Engine {
    /// Names and images that are wanted, newest first.
    ///
    /// # Errors
    /// When the records can not be read, or there is no image to compare with.
    pub fn images_like(&self, filter: &ImageFilter) -> Result<Vec<ImageSummary>, ImageFilterError> {
        let added = |name: &Option<String>| -> Result<Option<i64>, ResolveError> {
            name.as_ref().map(|name| Ok(self.store.resolve(name)?.added)).transpose()
        };
        let (before, since) = (added(&filter.before)?, added(&filter.since)?);
        let mut all = self.images()?;
        all.retain(|image| {
            filter.fits(image)
                && before.is_none_or(|before| image.added < before)
                && since.is_none_or(|since| image.added > since)
                && filter.until.is_none_or(|until| image.added < until.as_second())
        });
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::{Digest, Platform};

    #[test]
    fn images_are_found_by_what_docker_has() {
        let image = |name: &str, labels: &[(&str, &str)]| ImageSummary {
            name: (!name.is_empty()).then(|| name.parse().unwrap()),
            id: Digest::of(name),
            added: 0,
            size: 0,
            platform: Platform::host(),
            labels: labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        };
        let all = [
            image("busybox", &[("a", "1")]),
            image("team/app:v1", &[("a", "2")]),
            image("h.io/team/app:v2", &[]),
            image("", &[]),
        ];
        for (filters, found) in [
            (vec!["dangling=true"], vec![3]),
            (vec!["dangling=0"], vec![0, 1, 2]),
            (vec!["label=a"], vec![0, 1]),
            (vec!["label=a=2"], vec![1]),
            (vec!["reference=busy*"], vec![0]),
            (vec!["reference=*"], vec![0]),
            (vec!["reference=*/app"], vec![1]),
            (vec!["reference=team/app:v*", "reference=busybox:latest"], vec![0, 1]),
            (vec!["reference=h.io/*/*:v2"], vec![2]),
            (vec!["reference=docker.io/library/busybox:latest", "label=a=1"], vec![0]),
        ] {
            let mut filter = ImageFilter::default();
            filters.iter().for_each(|text| filter.add(text).unwrap());
            let numbers: Vec<usize> = (0..all.len()).filter(|number| filter.fits(&all[*number])).collect();
            assert_eq!(numbers, found, "{filters:?}");
        }
        for wrong in ["x", "size=3", "dangling=perhaps", "reference=["] {
            assert!(ImageFilter::default().add(wrong).is_err(), "{wrong}");
        }
    }
}
