//! An image that goes to a registry: docker's words for each layer, and bars on a terminal.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};

use indicatif::{MultiProgress, ProgressBar};
use wharf_engine::image::{Arrived, PushEvent, PushStage};
use wharf_model::Digest;

use super::pull::style;
use crate::output::{printable, say};

/// How a push is shown, on standard error.
pub(crate) enum Pushing {
    Quiet,
    Plain,
    Terminal(MultiProgress, BTreeMap<Digest, ProgressBar>),
}

impl Pushing {
    /// As standard error has it.
    pub(crate) fn new(quiet: bool) -> Self {
        match quiet {
            true => Self::Quiet,
            false if io::stderr().is_terminal() => Self::Terminal(MultiProgress::new(), BTreeMap::new()),
            false => Self::Plain,
        }
    }

    /// Shows one event.
    pub(crate) fn show(&mut self, event: &PushEvent<'_>) {
        let PushEvent::Layer(digest, stage) = event else { return };
        match self {
            Self::Quiet => {}
            Self::Plain => {
                if let Some(words) = words(stage) {
                    say(&format!("{}: {words}", digest.short()));
                }
            }
            Self::Terminal(all, bars) => {
                let bar = bars.entry(**digest).or_insert_with(|| {
                    let bar = all.add(ProgressBar::new(0));
                    bar.set_prefix(digest.short());
                    bar
                });
                draw(bar, stage);
            }
        }
    }
}

fn draw(bar: &ProgressBar, stage: &PushStage) {
    if let PushStage::Sending { sent, size } = stage {
        bar.set_style(style("{prefix}: Pushing [{bar:30}] {bytes:>10} / {total_bytes} {eta:>4}"));
        bar.set_length(*size);
        bar.set_position(*sent);
    } else {
        bar.set_style(style("{prefix}: {msg}"));
        bar.set_message(printable(&words(stage).unwrap_or_default()));
        if matches!(stage, PushStage::Done(_)) {
            bar.finish();
        }
    }
    bar.tick();
}

/// Docker's words; nothing for what is not over.
fn words(stage: &PushStage) -> Option<String> {
    match stage {
        PushStage::Preparing => Some("Preparing".to_owned()),
        PushStage::Sending { .. } => None,
        PushStage::Done(Arrived::Here) => Some("Layer already exists".to_owned()),
        PushStage::Done(Arrived::Mounted(from)) => Some(format!("Mounted from {from}")),
        PushStage::Done(Arrived::Sent) => Some("Pushed".to_owned()),
        PushStage::Done(Arrived::Nowhere) => Some("Not here any more".to_owned()),
    }
}
