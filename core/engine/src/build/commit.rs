//! From a finished stage to an image with names.

use wharf_model::{Digest, Reference};

use super::execute::{Finished, timestamp};
use super::progress::BuildEvent;
use super::request::{At, BuildOptions};
use crate::Engine;
use crate::event::Entry;

impl Engine {
    /// Nothing in the config depends on when or where it was built.
    pub(super) fn commit_stage(
        &self,
        options: &BuildOptions,
        stage: Finished,
        names: &[Reference],
        report: &mut dyn FnMut(BuildEvent<'_>),
    ) -> Result<Digest, At> {
        report(BuildEvent::Committing);
        let mut config = stage.state.config;
        config.created = Some(timestamp(stage.epoch));
        config.history = stage.history;
        config.rootfs.diff_ids = stage.chain.layers.iter().map(|layer| layer.diff_id).collect();
        config.config.labels.extend(options.labels.clone());
        let shown: Vec<String> = names.iter().map(Reference::familiar).collect();
        for warning in self.ask_commit_hooks(&shown, &mut config)? {
            report(BuildEvent::Warning(&warning));
        }
        let id = self.store.commit(&config, names)?;
        let tagged = shown.into_iter().map(|name| Entry::image("tag", &id, Some(name)));
        self.note([Entry::image("build", &id, None)].into_iter().chain(tagged));
        Ok(id)
    }
}
