//! Dockerfile instructions that change a config only, as `import --change` takes them.

use wharf_model::Platform;
use wharf_model::image::{ImageConfig, RunConfig};

use super::context::Context;
use super::ignore::Ignore;
use super::plan::change_config;
use super::request::{At, BuildFailure};
use super::stage::{Arguments, State};
use crate::Engine;

impl Engine {
    /// The config that instructions such as `CMD ["sh"]` make of an empty one.
    ///
    /// # Errors
    /// When an instruction is wrong or does more than change the config.
    pub fn changed_config(&self, lines: &[String]) -> Result<RunConfig, BuildFailure> {
        self.changed(RunConfig::default(), lines)
    }

    /// The same, of a config.
    pub(crate) fn changed(&self, config: RunConfig, lines: &[String]) -> Result<RunConfig, BuildFailure> {
        if lines.is_empty() {
            return Ok(config);
        }
        let arguments = Arguments::new(&std::collections::BTreeMap::new(), &Platform::host());
        let state = State::new(ImageConfig { config, ..ImageConfig::empty(&Platform::host()) }, arguments);
        let changed = self
            .empty_directory()
            .map_err(At::from)
            .and_then(|nothing| change_config(self, &Context::new(nothing, Ignore::default()), lines, state));
        changed.map(|state| state.config.config).map_err(|At { span, error }| BuildFailure {
            excerpt: None,
            span,
            error,
        })
    }
}
