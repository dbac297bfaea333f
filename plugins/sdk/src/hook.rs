//! Hooks: policy on what the engine is about to do.

pub use crate::bindings::hook::wharf::plugin::hook_types::{
    Adjustment, Attachment, Change, ContainerMount, ContainerPort, ContainerSpec, Event, ExecSpec,
    ImageCommit, ImageTransfer, Moment, MountKind, NetworkAction, NetworkOp, Phase, ProposedOp, ProvidedFile,
    Subject, Verdict, VolumeAction, VolumeOp,
};
pub use crate::bindings::instruction::wharf::plugin::types::{Entry, EntryKind};
use crate::manifest::{self, Manifest, Package, Request};
use crate::{Failure, Settings};

/// Is asked about containers, images, networks, volumes and steps of builds.
pub trait Hook {
    /// What it wants to be asked about.
    fn describe() -> Vec<(Moment, Phase)>;

    /// What it needs to be granted, and what for.
    fn requests() -> Vec<Request> {
        Vec::new()
    }

    /// Whether the settings make sense; asked when they are first used.
    ///
    /// # Errors
    /// Says what is wrong with them.
    fn validate_settings(settings: &Settings) -> Result<(), Failure> {
        crate::setting::only(settings, &[])
    }

    /// First: changes the subject. `image` is there when an image is committed.
    ///
    /// # Errors
    /// When it cannot say.
    fn adjust(
        _event: &Event,
        _image: Option<&dyn Files>,
        _settings: &Settings,
    ) -> Result<Vec<Adjustment>, Failure> {
        Ok(Vec::new())
    }

    /// Second: may refuse the subject. `image` is there when an image is committed.
    ///
    /// # Errors
    /// When it cannot say. For a required hook that is a refusal.
    fn judge(_event: &Event, _image: Option<&dyn Files>, _settings: &Settings) -> Result<Verdict, Failure> {
        Ok(Verdict::Allow)
    }

    /// Third: is told afterwards.
    fn observe(_event: &Event, _settings: &Settings) {}
}

/// The files of an image that is about to get its id. It takes the grant `read = ["image"]`. Paths
/// are relative to the image's root; symbolic links are not followed.
pub trait Files {
    /// What is at a path; `None` when nothing is.
    ///
    /// # Errors
    /// When the plugin may not look there.
    fn stat(&self, path: &str) -> Result<Option<Entry>, Failure>;
    /// The content of a regular file; `None` when there is none.
    ///
    /// # Errors
    /// When the plugin may not look there, or the file is longer than `limit` bytes.
    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure>;
    /// Entries whose path matches one of the patterns, sorted by path.
    ///
    /// # Errors
    /// When a pattern is malformed or there are more than `limit`.
    fn glob(&self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure>;
}

/// Stands between a hook and the world it is exported to.
#[doc(hidden)]
pub struct Exported<H>(std::marker::PhantomData<H>);

fn introduce<H: Hook + Package>() -> Manifest {
    manifest::of::<H>(H::requests(), String::new)
}

#[cfg(target_arch = "wasm32")]
mod component {
    use super::{Adjustment, Entry, Event, Exported, Files, Hook, Manifest, Moment, Package, Phase, Verdict};
    use crate::bindings::about::exports::wharf::plugin::about;
    use crate::bindings::hook::exports::wharf::plugin::hook::Guest;
    use crate::bindings::hook::wharf::plugin::image_files::Files as Resource;
    use crate::host::{log_panics, settings};
    use crate::{Failure, Settings};

    impl<H: Hook + Package + 'static> about::Guest for Exported<H> {
        fn introduce() -> Manifest {
            log_panics();
            super::introduce::<H>()
        }
    }

    impl<H: Hook + 'static> Guest for Exported<H> {
        fn describe() -> Vec<(Moment, Phase)> {
            log_panics();
            H::describe()
        }

        fn validate_settings(settings: Settings) -> Result<(), Failure> {
            log_panics();
            H::validate_settings(&settings)
        }

        fn adjust(event: Event, image: Option<&Resource>) -> Result<Vec<Adjustment>, Failure> {
            log_panics();
            H::adjust(&event, image.map(|image| image as &dyn Files), &settings())
        }

        fn judge(event: Event, image: Option<&Resource>) -> Result<Verdict, Failure> {
            log_panics();
            H::judge(&event, image.map(|image| image as &dyn Files), &settings())
        }

        fn observe(event: Event) {
            log_panics();
            H::observe(&event, &settings());
        }
    }

    impl Files for Resource {
        fn stat(&self, path: &str) -> Result<Option<Entry>, Failure> {
            Self::stat(self, path)
        }

        fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
            Self::read(self, path, limit)
        }

        fn glob(&self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
            Self::glob(self, patterns, limit)
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<H: Hook + Package + 'static> crate::native::Dispatch for Exported<H> {
    const WORLD: &'static str = "hook-plugin";

    fn dispatch(function: &str, input: &[u8]) -> crate::native::Answer {
        use crate::native::{HostFiles, decode, encode, one, unknown};
        let files = |there: bool| there.then_some(&HostFiles as &dyn Files);
        match function {
            "introduce" => encode(&introduce::<H>()),
            "describe" => encode(&H::describe()),
            "validate-settings" => encode(&H::validate_settings(&one(input)?)),
            "adjust" => {
                let (event, image): (Event, bool) = decode(input)?;
                encode(&H::adjust(&event, files(image), &crate::host::settings()))
            }
            "judge" => {
                let (event, image): (Event, bool) = decode(input)?;
                encode(&H::judge(&event, files(image), &crate::host::settings()))
            }
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
    ($plugin:ty $(, $summary:literal)?) => {
        $crate::export_as!(hook, $plugin $(, $summary)?);
    };
}
