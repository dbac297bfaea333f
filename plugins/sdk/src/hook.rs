//! Hooks: policy on what the engine is about to do.

pub use crate::bindings::hook::wharf::plugin::hook_types::{
    Adjustment, Change, ContainerMount, ContainerSpec, Event, ImageCommit, Moment, Phase, ProposedOp,
    Subject, Verdict,
};
use crate::{Failure, Settings};

/// Is asked about containers, images and steps of builds.
pub trait Hook {
    /// What it wants to be asked about.
    fn describe() -> Vec<(Moment, Phase)>;

    /// Whether the settings make sense; asked when they are first used.
    ///
    /// # Errors
    /// Says what is wrong with them.
    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        crate::setting::only(settings, &[])
    }

    /// First: changes the subject.
    ///
    /// # Errors
    /// When it cannot say.
    fn adjust(_event: &Event, _settings: &Settings) -> Result<Vec<Adjustment>, Failure> {
        Ok(Vec::new())
    }

    /// Second: may refuse the subject.
    ///
    /// # Errors
    /// When it cannot say. For a required hook that is a refusal.
    fn judge(_event: &Event, _settings: &Settings) -> Result<Verdict, Failure> {
        Ok(Verdict::Allow)
    }

    /// Third: is told afterwards.
    fn observe(_event: &Event, _settings: &Settings) {}
}

/// Stands between a hook and the world it is exported to.
#[doc(hidden)]
pub struct Exported<H>(std::marker::PhantomData<H>);

#[cfg(target_arch = "wasm32")]
impl<H: Hook + 'static> crate::bindings::hook::exports::wharf::plugin::hook::Guest for Exported<H> {
    fn describe() -> Vec<(Moment, Phase)> {
        crate::host::log_panics();
        H::describe()
    }

    fn validate_settings(settings: Settings) -> Result<(), Failure> {
        crate::host::log_panics();
        H::validate_settings(&settings)
    }

    fn adjust(event: Event) -> Result<Vec<Adjustment>, Failure> {
        crate::host::log_panics();
        H::adjust(&event, &crate::host::settings())
    }

    fn judge(event: Event) -> Result<Verdict, Failure> {
        crate::host::log_panics();
        H::judge(&event, &crate::host::settings())
    }

    fn observe(event: Event) {
        crate::host::log_panics();
        H::observe(&event, &crate::host::settings());
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<H: Hook + 'static> crate::native::Dispatch for Exported<H> {
    const WORLD: &'static str = "hook-plugin";

    fn dispatch(function: &str, input: &[u8]) -> crate::native::Answer {
        use crate::native::{encode, one, unknown};
        match function {
            "describe" => encode(&H::describe()),
            "validate-settings" => encode(&H::validate_settings(&one(input)?)),
            "adjust" => encode(&H::adjust(&one(input)?, &crate::host::settings())),
            "judge" => encode(&H::judge(&one(input)?, &crate::host::settings())),
            "observe" => {
                H::observe(&one(input)?, &crate::host::settings());
                encode(&())
            }
            other => unknown(other),
        }
    }
}

/// Makes a [`Hook`] the plugin that this crate is.
#[macro_export]
macro_rules! export_hook {
    ($plugin:ty) => {
        $crate::export_as!(hook, $plugin);
    };
}
