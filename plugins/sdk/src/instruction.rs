//! Dockerfile instructions: what a statement says, and the plan it stands for.

pub use crate::bindings::instruction::exports::wharf::plugin::instruction::{
    Body, BodyKind, FlagSpec, Heredoc, Invocation, KeywordSpec, Outcome, Pairs,
};
pub use crate::bindings::instruction::wharf::plugin::build_context::{ResolvedImage, Root};
pub use crate::bindings::instruction::wharf::plugin::build_plan::{
    Action, BindMount, CacheMount, CacheSharing, Command, ConfigChange, CopyFiles, Exec, GitSource,
    Healthcheck, HttpSource, ImageSource, Input, Mkdir, ModeChange, Mount, NetAccess, Op, Owner, Plan,
    Remove, SecretMount, Security, SshMount, StageStart, Symlink, TmpfsMount, Write,
};
pub use crate::bindings::instruction::wharf::plugin::types::{Entry, EntryKind};
use crate::manifest::{self, Manifest, Package, Request};
use crate::{Failure, Platform, Settings, refuse};

mod plan;

/// Gives one or more Dockerfile keywords their meaning.
pub trait Instruction {
    /// Its keywords and how the engine reads what follows them.
    fn describe() -> Vec<KeywordSpec>;

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

    /// What the statement means.
    ///
    /// # Errors
    /// When what was written cannot be meant, with [`refuse`].
    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure>;
}

/// The stage as it is before this instruction, and the build contexts.
///
/// Whatever is asked here is remembered: the plan is made again only when an answer changes. So
/// ask for what matters, and for nothing else.
pub trait Context {
    /// The platform that is built for.
    fn target_platform(&self) -> Platform;
    /// A build argument in scope.
    fn arg(&self, name: &str) -> Option<String>;
    /// A variable of the image's environment.
    fn env(&self, name: &str) -> Option<String>;
    /// The stage's WORKDIR, `/` when there is none.
    fn working_dir(&self) -> String;
    /// The stage's USER, empty when there is none.
    fn user(&self) -> String;
    /// The stage's SHELL, `["/bin/sh", "-c"]` when there is none.
    fn shell(&self) -> Vec<String>;
    /// What is at a path; `None` when nothing is.
    ///
    /// # Errors
    /// When the plugin may not look there.
    fn stat(&self, root: &Root, path: &str) -> Result<Option<Entry>, Failure>;
    /// The content of a regular file; `None` when there is none.
    ///
    /// # Errors
    /// When the plugin may not look there, or the file is longer than `limit` bytes.
    fn read(&self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure>;
    /// Entries whose path matches one of the patterns, sorted by path.
    ///
    /// # Errors
    /// When a pattern is malformed or there are more than `limit`.
    fn glob(&self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure>;
    /// What an image reference stands for.
    ///
    /// # Errors
    /// When there is no such image here.
    fn resolve_image(&self, reference: &str, platform: Option<&Platform>) -> Result<ResolvedImage, Failure>;
}

impl KeywordSpec {
    /// A keyword with neither flags nor here-documents, in whose body no variable is expanded.
    pub fn new(keyword: &str, summary: &str, body: BodyKind) -> Self {
        Self {
            keyword: keyword.into(),
            summary: summary.into(),
            body,
            expands_variables: false,
            heredocs: false,
            flags: vec![],
            before_from: false,
            starts_stage: false,
        }
    }

    /// `$x` in the body is expanded.
    #[must_use]
    pub fn expanding(self) -> Self {
        Self { expands_variables: true, ..self }
    }

    /// `<<EOF` begins a here-document.
    #[must_use]
    pub fn with_heredocs(self) -> Self {
        Self { heredocs: true, ..self }
    }

    /// May stand before the first stage.
    #[must_use]
    pub fn before_from(self) -> Self {
        Self { before_from: true, ..self }
    }

    /// Begins a stage.
    #[must_use]
    pub fn starting_stage(self) -> Self {
        Self { starts_stage: true, before_from: true, ..self }
    }

    /// Knows this flag.
    #[must_use]
    pub fn flag(mut self, flag: FlagSpec) -> Self {
        self.flags.push(flag);
        self
    }
}

impl FlagSpec {
    /// `--name=value`.
    pub fn value(name: &str, doc: &str) -> Self {
        let (name, doc) = (name.into(), doc.into());
        Self { name, takes_value: true, repeatable: false, expands_variables: false, doc }
    }

    /// `--name`, `--name=true` or `--name=false`.
    pub fn switch(name: &str, doc: &str) -> Self {
        Self { takes_value: false, ..Self::value(name, doc) }
    }

    /// May be given several times.
    #[must_use]
    pub fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }

    /// `$x` in the value is expanded.
    #[must_use]
    pub fn expanding(self) -> Self {
        Self { expands_variables: true, ..self }
    }
}

impl Invocation {
    /// The value of a flag.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// The values of a flag, in the order written.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.flags.iter().filter(move |(flag, _)| flag == name).filter_map(|(_, value)| value.as_deref())
    }

    /// Whether a switch is on; `default` when it is not given.
    ///
    /// # Errors
    /// When it has a value other than `true` or `false`.
    pub fn switch(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.flags.iter().rev().find(|(flag, _)| flag == name) {
            None => Ok(default),
            Some((_, None)) => Ok(true),
            Some((_, Some(value))) => match value.as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                other => Err(refuse(format!("expecting boolean value for flag {name}, not: {other}"))),
            },
        }
    }

    /// The words or the JSON strings of the body; empty when it is something else.
    pub fn words(&self) -> &[String] {
        match &self.body {
            Body::Words(words) | Body::Json(words) => words,
            Body::Pairs(_) | Body::Assignments(_) | Body::Text(_) => &[],
        }
    }

    /// The text of the body without blanks around it; empty when it is something else.
    pub fn text(&self) -> &str {
        match &self.body {
            Body::Text(text) => text.trim(),
            Body::Words(_) | Body::Json(_) | Body::Pairs(_) | Body::Assignments(_) => "",
        }
    }

    /// The pairs of the body, and whether they are written in the old form.
    pub fn pairs(&self) -> (&[(String, String)], bool) {
        match &self.body {
            Body::Pairs(pairs) => (&pairs.items, pairs.legacy),
            Body::Words(_) | Body::Json(_) | Body::Assignments(_) | Body::Text(_) => (&[], false),
        }
    }

    /// The one thing that the text of the body must hold.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn argument(&self) -> Result<&str, Failure> {
        match self.text() {
            "" => Err(refuse(format!("{} requires exactly one argument", self.keyword)).help(
                "a variable without a value is none: give it one with `ARG NAME=DEFAULT` or `--build-arg`",
            )),
            text => Ok(text),
        }
    }
}

/// Stands between an instruction and the world it is exported to.
#[doc(hidden)]
pub struct Exported<I>(std::marker::PhantomData<I>);

fn introduce<I: Instruction + Package>() -> Manifest {
    let summary = || I::describe().into_iter().next().map(|spec| spec.summary).unwrap_or_default();
    manifest::of::<I>(I::requests(), summary)
}

#[cfg(target_arch = "wasm32")]
mod component {
    use super::{
        Context, Entry, Exported, Instruction, Invocation, KeywordSpec, Manifest, Outcome, Package,
        ResolvedImage, Root,
    };
    use crate::bindings::about::exports::wharf::plugin::about;
    use crate::bindings::instruction::exports::wharf::plugin::instruction::Guest;
    use crate::bindings::instruction::wharf::plugin::build_context::Context as Resource;
    use crate::host::log_panics;
    use crate::{Failure, Platform, Settings};

    impl<I: Instruction + Package + 'static> about::Guest for Exported<I> {
        fn introduce() -> Manifest {
            log_panics();
            super::introduce::<I>()
        }
    }

    impl<I: Instruction + 'static> Guest for Exported<I> {
        fn describe() -> Vec<KeywordSpec> {
            log_panics();
            I::describe()
        }

        fn validate_settings(settings: Settings) -> Result<(), Failure> {
            log_panics();
            I::validate_settings(&settings)
        }

        fn plan_instruction(call: Invocation, context: &Resource) -> Result<Outcome, Failure> {
            log_panics();
            I::plan(&call, context)
        }
    }

    impl Context for Resource {
        fn target_platform(&self) -> Platform {
            Self::target_platform(self)
        }

        fn arg(&self, name: &str) -> Option<String> {
            Self::arg(self, name)
        }

        fn env(&self, name: &str) -> Option<String> {
            Self::env(self, name)
        }

        fn working_dir(&self) -> String {
            Self::working_dir(self)
        }

        fn user(&self) -> String {
            Self::user(self)
        }

        fn shell(&self) -> Vec<String> {
            Self::shell(self)
        }

        fn stat(&self, root: &Root, path: &str) -> Result<Option<Entry>, Failure> {
            Self::stat(self, root, path)
        }

        fn read(&self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
            Self::read(self, root, path, limit)
        }

        fn glob(&self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
            Self::glob(self, root, patterns, limit)
        }

        fn resolve_image(
            &self,
            reference: &str,
            platform: Option<&Platform>,
        ) -> Result<ResolvedImage, Failure> {
            Self::resolve_image(self, reference, platform)
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl<I: Instruction + Package + 'static> crate::native::Dispatch for Exported<I> {
    const WORLD: &'static str = "instruction-plugin";

    fn dispatch(function: &str, input: &[u8]) -> crate::native::Answer {
        use crate::native::{HostContext, encode, one, unknown};
        match function {
            "introduce" => encode(&introduce::<I>()),
            "describe" => encode(&I::describe()),
            "validate-settings" => encode(&I::validate_settings(&one(input)?)),
            "plan-instruction" => encode(&I::plan(&one(input)?, &HostContext)),
            other => unknown(other),
        }
    }
}

/// Makes an [`Instruction`] the plugin that this crate is.
#[macro_export]
macro_rules! export_instruction {
    ($plugin:ty $(, $summary:literal)?) => {
        $crate::export_as!(instruction, $plugin $(, $summary)?);
    };
}

/// What the four export macros have in common.
#[doc(hidden)]
#[macro_export]
macro_rules! export_as {
    ($world:ident, $plugin:ty) => {
        $crate::export_as!($world, $plugin, env!("CARGO_PKG_DESCRIPTION"));
    };
    ($world:ident, $plugin:ty, $summary:expr) => {
        impl $crate::manifest::Package for $plugin {
            const NAME: &'static str = env!("CARGO_CRATE_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            const SUMMARY: &'static str = $summary;
        }

        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::$world::Exported<$plugin>;
    $crate::bindings::about::export!(Exported with_types_in $crate::bindings::about);
    $crate::bindings::$world::export!(Exported with_types_in $crate::bindings::$world);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            static PLUGIN: $crate::native::Plugin =
                $crate::native::Plugin::of::<$crate::$world::Exported<$plugin>>();

            #[unsafe(no_mangle)]
            extern "C" fn wharf_plugin_v1() -> &'static $crate::native::Plugin {
                &PLUGIN
            }
        };
    };
}
