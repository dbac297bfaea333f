//! An image that comes: a line for each layer, which moves on a terminal and says in a pipe what is done.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use wharf_engine::image::{LayerStage, PullEvent, foreign};
use wharf_model::{Digest, Reference};

use crate::output::{printable, say};

/// How a pull is shown, on standard error.
pub(crate) enum Pulling {
    Quiet,
    Plain,
    Terminal(Moving),
}

/// A bar for each layer.
#[derive(Default)]
pub(crate) struct Moving {
    all: MultiProgress,
    bars: BTreeMap<Digest, ProgressBar>,
}

impl Pulling {
    /// As standard error has it.
    pub(crate) fn new(quiet: bool) -> Self {
        match quiet {
            true => Self::Quiet,
            false if io::stderr().is_terminal() => Self::Terminal(Moving::default()),
            false => Self::Plain,
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: PullEvent<'_>) {
        if let PullEvent::Foreign(platform) = event {
            return self.line(&format!("warning: {}", foreign(platform)));
        }
        match (self, event) {
            (Self::Quiet, _) => {}
            (shown, PullEvent::Begun(name)) => shown.line(&heading(name)),
            (Self::Plain, PullEvent::Layer(digest, stage)) => {
                if let Some(words) = words(stage) {
                    say(&format!("{}: {words}", digest.short()));
                }
            }
            (Self::Terminal(moving), PullEvent::Layer(digest, stage)) => moving.show(digest, stage),
            (_, PullEvent::Foreign(_)) => {}
        }
    }

    /// A line above what moves.
    fn line(&mut self, text: &str) {
        match self {
            Self::Terminal(moving) => moving.all.suspend(|| say(text)),
            _ => say(text),
        }
    }
}

/// `latest: Pulling from library/busybox`.
pub(crate) fn heading(name: &Reference) -> String {
    let tag = name.tag().map(str::to_owned).filter(|_| name.digest().is_none());
    let tag = tag.or(name.digest().map(|digest| digest.to_string())).unwrap_or_default();
    format!("{tag}: Pulling from {}", name.path())
}

/// Docker's words; nothing for what is not over.
fn words(stage: LayerStage) -> Option<&'static str> {
    match stage {
        LayerStage::Here => Some("Already exists"),
        LayerStage::Waiting => Some("Pulling fs layer"),
        LayerStage::Downloading { .. } => None,
        LayerStage::Downloaded => Some("Download complete"),
        LayerStage::Done => Some("Pull complete"),
    }
}

impl Moving {
    fn show(&mut self, digest: &Digest, stage: LayerStage) {
        let bar = self.bars.entry(*digest).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(0));
            bar.set_prefix(digest.short());
            bar
        });
        match stage {
            LayerStage::Downloading { have, size } => {
                bar.set_style(style("{prefix}: Downloading [{bar:30}] {bytes:>10} / {total_bytes} {eta:>4}"));
                bar.set_length(size);
                bar.set_position(have);
            }
            stage => {
                bar.set_style(style("{prefix}: {msg}"));
                let text = if stage == LayerStage::Downloaded {
                    "Extracting"
                } else {
                    words(stage).unwrap_or_default()
                };
                bar.set_message(printable(text));
                if matches!(stage, LayerStage::Here | LayerStage::Done) {
                    bar.finish();
                }
            }
        }
        bar.tick();
    }
}

pub(super) fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}
