//! From a finished stage to an image with names.

use std::os::fd::OwnedFd;

use wharf_model::hook::{Attached, Moment, Phase};
use wharf_model::image::ImageConfig;
use wharf_model::{Diagnostic, Digest, Reference};
use wharf_store::AttachError;

use super::execute::{Listener, timestamp};
use super::output::Product;
use super::progress::BuildEvent;
use super::provenance::{FILE, MEDIA_TYPE, OWNER};
use super::request::{At, BuildError, BuildOptions};
use super::share::{CacheTo, INLINE};
use super::tree::Chain;
use crate::Engine;
use crate::event::{Asker, Entry};
use crate::hook::{AskedCommit, Attachments, HookError, TreeFiles};

/// What an image says of its own cache is about that image's build, and not about one on top of it.
pub(crate) fn forget_cache(config: &mut ImageConfig) {
    config.extra.remove(INLINE);
}

impl Engine {
    /// Nothing in the config depends on when or where it was built.
    pub(super) fn commit_product(
        &self,
        options: &BuildOptions,
        Product { stage, provenance, imported }: Product<'_>,
        names: &[Reference],
        report: &mut Listener<'_>,
    ) -> Result<Digest, At> {
        report(BuildEvent::Committing);
        let inline =
            options.cache_to.contains(&CacheTo::Inline).then(|| self.inline_records(imported, &stage));
        let inline = inline.transpose().map_err(BuildError::from)?;
        let mut config = stage.state.config;
        config.created = Some(timestamp(stage.epoch));
        config.history = stage.history;
        config.rootfs.diff_ids = stage.chain.layers.iter().map(|layer| layer.diff_id).collect();
        config.config.labels.extend(options.labels.clone());
        forget_cache(&mut config);
        if let Some(records) = inline {
            config.extra.insert(INLINE.to_owned(), records);
        }
        let shown: Vec<String> = names.iter().map(Reference::familiar).collect();
        let (warnings, attached) = self.ask_about_commit(&shown, &mut config, &stage.chain)?;
        for warning in &warnings {
            report(BuildEvent::Warning { step: None, warning });
        }
        let id = self.store.commit(&config, names)?;
        let statement = provenance.map(|predicate| self.statement_of(&id, names, predicate)).transpose()?;
        self.attach_all(&id, &attached, statement.as_deref()).map_err(BuildError::from)?;
        let tagged = shown.into_iter().map(|name| Entry::image("tag", &id, Some(name)));
        self.note([Entry::image("build", &id, None)].into_iter().chain(tagged));
        Ok(id)
    }

    /// Hooks look into the image, change its labels, judge it, and say what is to be kept beside it.
    fn ask_about_commit(
        &self,
        names: &[String],
        config: &mut ImageConfig,
        chain: &Chain,
    ) -> Result<(Vec<Diagnostic>, Attachments), BuildError> {
        if !self.judges_commits() {
            return Ok((Vec::new(), Vec::new()));
        }
        let snapshots = self.default_snapshots()?;
        let tree = self.open_chain(&snapshots, chain)?;
        Ok(self.ask_about_image(names, config, tree)?)
    }

    /// Whether a hook wants to see images before they are kept.
    pub(crate) fn judges_commits(&self) -> bool {
        let asked = |phase| !self.plugins.hooks(Moment::ImageCommit, phase).is_empty();
        asked(Phase::Adjust) || asked(Phase::Judge)
    }

    /// Asks hooks about an image whose files are in `tree`.
    pub(crate) fn ask_about_image(
        &self,
        names: &[String],
        config: &mut ImageConfig,
        tree: OwnedFd,
    ) -> Result<(Vec<Diagnostic>, Attachments), HookError> {
        let files = TreeFiles::below(tree);
        let mut commit = AskedCommit { names, config, files, attached: Vec::new() };
        let warnings = self.ask_hooks(&mut commit)?;
        Ok((warnings, commit.attached))
    }

    /// An image that is built again has what hooks say this time. Their word about where it is from would
    /// be another one than ours.
    pub(crate) fn attach_all(
        &self,
        id: &Digest,
        attached: &[(Attached, Asker)],
        statement: Option<&[u8]>,
    ) -> Result<(), AttachError> {
        let attachments = self.store.attachments();
        let write = |(attached, hook): &(Attached, Asker)| {
            attachments.write(&attached.name, &attached.media_type, &hook.name, &attached.content)
        };
        let is_other = |(attached, _): &&(Attached, Asker)| statement.is_none() || attached.name != FILE;
        let own = statement.map(|text| attachments.write(FILE, MEDIA_TYPE, OWNER, text));
        let written =
            attached.iter().filter(is_other).map(write).chain(own).collect::<Result<Vec<_>, _>>()?;
        Ok(attachments.replace(id, &written)?)
    }
}
