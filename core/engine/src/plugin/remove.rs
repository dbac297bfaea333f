//! `plugin remove`.

use std::collections::{BTreeMap, BTreeSet};

use wharf_plugin::config::edit::{self, Edit};
use wharf_plugin::{Level, PluginSource, shelf};

use super::{ChangeError, Whose};
use crate::Engine;

impl Engine {
    /// Forgets a plugin: its definition, its pin, and its code when no other plugin has the same.
    ///
    /// # Errors
    /// When there is none of that name, or it is defined where this does not write.
    pub fn remove_plugin(&self, name: &str, whose: Whose) -> Result<(), ChangeError> {
        let config = self.config_unlocked()?;
        let plugin = Self::known(&config, name)?;
        if plugin.level == Level::Defaults {
            return Err(ChangeError::Embedded { name: name.to_owned() });
        }
        let file = match whose {
            Whose::Mine => plugin.place.file.clone(),
            Whose::User | Whose::Site => self.config_file(whose)?,
        };
        let mut edit = Edit::open(&file)?;
        if !edit.remove(name)? {
            return Err(ChangeError::Elsewhere { name: name.to_owned(), place: plugin.place.clone() });
        }
        let change = edit.change();
        let left = self.config_with(&change)?;
        let lock = Self::relock(&file, BTreeMap::new(), &BTreeSet::from([name.to_owned()]))?;
        edit::write(&[change].into_iter().chain(lock).collect::<Vec<_>>())?;
        self.note_plugin("remove", name, &[]);
        let code = plugin.digest.filter(|_| !matches!(plugin.source, PluginSource::Embedded(_)));
        let needed = |digest| left.plugins.iter().any(|other| other.digest == Some(digest));
        if let Some(digest) = code.filter(|digest| !needed(*digest)) {
            let cannot = |source| ChangeError::File { path: self.options.plugins(), source };
            shelf::forget(&self.options.plugins(), digest).map_err(cannot)?;
        }
        Ok(())
    }
}
