//! Asking hooks: they adjust first, then judge, and observe afterwards.
//!
//! Every change has an owner, which the hooks after it and the judges see. A hook that is required and
//! fails is a refusal; one that is not is only reported. What a hook changed, warned of or denied is
//! in the journal.

mod build;
mod container;
mod files;
mod provided;
mod resource;

use wharf_model::hook::{Adjustment, Change, Event, Moment, Phase, Subject, Verdict};
use wharf_model::{Diagnostic, Severity};
use wharf_plugin::{Hook, ImageFiles, PluginError};

pub(crate) use build::{AskedCommit, AskedOp, Attachments, Extra};
pub(crate) use container::{AskedContainer, AskedExec};
pub(crate) use files::TreeFiles;
pub use provided::Provided;
pub(crate) use provided::{mounts as provided_mounts, write as write_provided};
pub(crate) use resource::{AskedNetwork, AskedTransfer, AskedVolume};

use crate::Engine;
use crate::event::{Asker, Entry, Kind};

/// Why a hook stopped something.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// It said no.
    #[error("denied by hook `{hook}`: {}", reasons(.diagnostics))]
    Denied {
        /// Which hook.
        hook: String,
        /// What it said.
        diagnostics: Vec<Diagnostic>,
    },
    /// It is required, and failed.
    #[error("required hook `{hook}` failed, which counts as a denial")]
    Failed {
        /// Which hook.
        hook: String,
        /// How.
        source: PluginError,
    },
    /// It is required, and made an adjustment that does not fit the subject.
    #[error("required hook `{hook}` can not {what}, which counts as a denial")]
    Misfit {
        /// Which hook.
        hook: String,
        /// What it tried.
        what: String,
    },
}

impl HookError {
    /// What the hook says to do instead.
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Denied { diagnostics, .. } => diagnostics.iter().find_map(|said| said.help.clone()),
            Self::Failed { source, .. } => source.next_step(),
            Self::Misfit { .. } => None,
        }
    }
}

fn reasons(diagnostics: &[Diagnostic]) -> String {
    let texts: Vec<&str> = diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    if texts.is_empty() { "no reason given".to_owned() } else { texts.join("; ") }
}

/// Something that hooks are asked about.
pub(crate) trait Asked {
    /// What hooks subscribe to.
    fn moment(&self) -> Moment;
    /// Its id or name in the journal.
    fn id(&self) -> String;
    /// As it is by now; complete.
    fn subject(&self) -> Subject;
    /// Changes it, and says so in words; else says what does not fit.
    fn adjust(&mut self, adjustment: Adjustment, hook: &Asker) -> Result<String, String>;
    /// The image, when one is committed.
    fn files(&mut self) -> Option<&mut dyn ImageFiles> {
        None
    }
}

impl Engine {
    /// Lets hooks change and judge something before it is done. What they warn of comes back.
    pub(crate) fn ask_hooks(&self, asked: &mut dyn Asked) -> Result<Vec<Diagnostic>, HookError> {
        let mut round = Round::of(self);
        for hook in self.plugins.hooks(asked.moment(), Phase::Adjust) {
            round.adjust(hook.as_ref(), asked)?;
        }
        round.judge(asked)?;
        Ok(round.warnings)
    }

    /// Lets hooks judge something that they have had their way with before.
    pub(crate) fn judge(&self, asked: &mut dyn Asked) -> Result<Vec<Diagnostic>, HookError> {
        let mut round = Round::of(self);
        round.judge(asked)?;
        Ok(round.warnings)
    }

    /// Asks, where an answer has no place for warnings: whoever opened the engine hears of them.
    pub(crate) fn ask_aloud(&self, asked: &mut dyn Asked) -> Result<(), HookError> {
        for diagnostic in self.ask_hooks(asked)? {
            self.warn(&diagnostic);
        }
        Ok(())
    }

    /// Tells hooks what has been done. They can not change that any more.
    pub(crate) fn tell_hooks(&self, asked: &dyn Asked) {
        for hook in self.plugins.hooks(asked.moment(), Phase::Observe) {
            let event = Event { subject: asked.subject(), changes: Vec::new() };
            if let Err(error) = hook.observe(&event) {
                let entry = Entry::new(Kind::Hook, "failed", asked.id()).by(&asker(hook.as_ref()));
                self.note([entry.with("error", error.to_string())]);
            }
        }
    }
}

fn asker(hook: &dyn Hook) -> Asker {
    Asker { name: hook.name().to_owned(), digest: hook.digest().ok() }
}

/// One subject's way through the hooks.
struct Round<'a> {
    engine: &'a Engine,
    warnings: Vec<Diagnostic>,
    changes: Vec<Change>,
}

impl<'a> Round<'a> {
    fn of(engine: &'a Engine) -> Self {
        Self { engine, warnings: Vec::new(), changes: Vec::new() }
    }

    fn event(&self, asked: &dyn Asked) -> Event {
        Event { subject: asked.subject(), changes: self.changes.clone() }
    }

    fn note(&self, action: &str, asked: &dyn Asked, hook: &dyn Hook, said: String) {
        let entry = Entry::new(Kind::Hook, action, asked.id()).by(&asker(hook));
        self.engine.note([entry.with("moment", asked.moment().as_str()).with("message", said)]);
    }

    fn adjust(&mut self, hook: &dyn Hook, asked: &mut dyn Asked) -> Result<(), HookError> {
        let event = self.event(asked);
        let answer = hook.adjust(&event, asked.files());
        for adjustment in self.answer(hook, asked, answer)?.unwrap_or_default() {
            match asked.adjust(adjustment, &asker(hook)) {
                Ok(description) => {
                    self.note("adjust", asked, hook, description.clone());
                    self.changes.push(Change { description, owner: hook.name().to_owned() });
                }
                Err(what) => self.misfit(hook, asked, what)?,
            }
        }
        Ok(())
    }

    fn judge(&mut self, asked: &mut dyn Asked) -> Result<(), HookError> {
        for hook in self.engine.plugins.hooks(asked.moment(), Phase::Judge) {
            let event = self.event(asked);
            let answer = hook.judge(&event, asked.files());
            match self.answer(hook.as_ref(), asked, answer)? {
                None | Some(Verdict::Allow) => {}
                Some(Verdict::Warn(said)) => {
                    self.note("warn", asked, hook.as_ref(), reasons(&said));
                    self.warnings.extend(said);
                }
                Some(Verdict::Deny(diagnostics)) => {
                    self.note("deny", asked, hook.as_ref(), reasons(&diagnostics));
                    return Err(HookError::Denied { hook: hook.name().to_owned(), diagnostics });
                }
            }
        }
        Ok(())
    }

    /// `None` when the hook failed and is not required.
    fn answer<T>(
        &mut self,
        hook: &dyn Hook,
        asked: &dyn Asked,
        result: Result<T, PluginError>,
    ) -> Result<Option<T>, HookError> {
        let error = match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => error,
        };
        self.note("failed", asked, hook, error.to_string());
        if hook.required() {
            return Err(HookError::Failed { hook: hook.name().to_owned(), source: error });
        }
        self.warnings.push(Diagnostic::new(Severity::Warning, "hook/failed", error.to_string()));
        Ok(None)
    }

    fn misfit(&mut self, hook: &dyn Hook, asked: &dyn Asked, what: String) -> Result<(), HookError> {
        self.note("failed", asked, hook, format!("can not {what}"));
        if hook.required() {
            return Err(HookError::Misfit { hook: hook.name().to_owned(), what });
        }
        let said = format!("hook `{}` can not {what}", hook.name());
        self.warnings.push(Diagnostic::new(Severity::Warning, "hook/misfit", said));
        Ok(())
    }
}

/// The end of a misfit's message: which adjustment of which subject.
fn misfit(adjustment: &Adjustment, of: &str) -> String {
    let what = match adjustment {
        Adjustment::SetEnv(name, _) => format!("set the variable {name}"),
        Adjustment::UnsetEnv(name) => format!("take the variable {name} away"),
        Adjustment::AddAnnotation(name, _) => format!("add the annotation {name}"),
        Adjustment::AddLabel(name, _) => format!("add the label {name}"),
        Adjustment::DropCapability(name) => format!("take {name} away"),
        Adjustment::AddHost(name, _) => format!("add the host {name}"),
        Adjustment::ProvideFile(file) => format!("provide {}", file.target),
        Adjustment::Attach(attached) => format!("attach {}", attached.name),
    };
    format!("{what}: that is nothing for {of}")
}
