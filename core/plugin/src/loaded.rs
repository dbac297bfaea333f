//! A plugin whose code is known: where it came from, how it is asked, what it may answer.
//!
//! Knowing what a plugin says of itself takes its digest and `describe.json`; its code is mapped
//! by the first call that needs it.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasmtime::Store;
use wharf_model::manifest::Manifest;
use wharf_model::storage::HostFacts;
use wharf_model::{Diagnostic, Digest};

use crate::aot::{self, About, Description, Entry};
use crate::bindings::types;
use crate::config::{PluginConfig, PluginSource, Trust};
use crate::convert::{self, Nonsense};
use crate::dylib::Library;
use crate::imports::{Caller, Contract};
use crate::session::{Heard, Listener, Outside, Session, Subject};
use crate::wasm::{Bound, Linked, Machine};
use crate::{Embedded, Event, Fault, PluginError, authorize, shelf};

/// Bytes of a plugin's file at most.
pub(crate) const FILE: u64 = 256 << 20;

/// What all plugins of a process share.
pub(crate) struct Host {
    pub(crate) cache: PathBuf,
    pub(crate) embedded: &'static [Embedded],
    pub(crate) listener: Listener,
    pub(crate) outside: Outside,
    machine: OnceLock<Ready>,
}

struct Ready {
    machine: Machine,
    key: String,
}

/// The questions of a world that every plugin answers before it is used.
pub(crate) trait Introduce: Contract + Sized {
    /// How its calls are bounded.
    const BOUND: Bound;
    /// Whether settings are good for one host and bad for another.
    const ASKS_ABOUT_THE_HOST: bool;
    fn describe(plugin: &Loaded<Self>) -> Result<About, PluginError>;
    fn validate_settings(plugin: &Loaded<Self>, facts: &dyn Fn() -> HostFacts) -> Result<(), PluginError>;
}

/// One plugin.
pub(crate) struct Loaded<W: Contract> {
    host: Arc<Host>,
    pub(crate) subject: Arc<Subject>,
    pub(crate) digest: Digest,
    code: Code<W>,
    manifest: OnceLock<Manifest>,
    validated: OnceLock<()>,
}

/// What is asked before anything is granted.
const INTRODUCTION: [&str; 2] = ["introduce", "describe"];

enum Code<W: Contract> {
    Component(Box<Component<W>>),
    Native(Library),
}

struct Component<W: Contract> {
    bytes: Cow<'static, [u8]>,
    /// What it says of itself, where that is part of the program.
    shipped: Option<&'static str>,
    /// Where its compiled code is kept; opened when it is needed.
    entry: OnceLock<Entry>,
    pre: OnceLock<Linked<W>>,
}

impl Host {
    pub(crate) fn new(cache: &Path, embedded: &'static [Embedded]) -> Self {
        let (listener, outside) = (Listener::default(), Outside::default());
        Self { cache: cache.into(), embedded, listener, outside, machine: OnceLock::new() }
    }

    fn ready(&self) -> Result<&Ready, Fault> {
        if let Some(ready) = self.machine.get() {
            return Ok(ready);
        }
        let machine = Machine::new()?;
        let key = aot::engine_key(machine.engine());
        Ok(self.machine.get_or_init(|| Ready { machine, key }))
    }

    /// The compiled code of a component and its size, if it is there.
    pub(crate) fn compiled(&self, digest: Digest) -> Option<(PathBuf, u64)> {
        let key = &self.ready().ok()?.key;
        let path = aot::code_path(&self.cache, digest, key);
        std::fs::symlink_metadata(&path).ok().map(|found| (path, found.len()))
    }

    /// What a component that is part of the program says of itself.
    fn description(&self, plugin: &PluginConfig) -> Option<&'static str> {
        let PluginSource::Embedded(name) = &plugin.source else { return None };
        self.embedded.iter().find(|embedded| embedded.name == name)?.description
    }

    /// The plugin's file, hashed, and held against what the config pins.
    pub(crate) fn fetch(&self, plugin: &PluginConfig) -> Result<(Cow<'static, [u8]>, Digest), Fault> {
        let (bytes, digest) = match &plugin.source {
            PluginSource::File(path) => {
                let kept = plugin.digest.map_or(Ok(None), |digest| shelf::take(&self.cache, digest))?;
                let bytes = kept.map_or_else(|| read(path), Ok)?;
                let digest = Digest::of(&bytes);
                (Cow::Owned(bytes), digest)
            }
            source @ (PluginSource::Bundle(_) | PluginSource::Registry(_)) => {
                let kept = plugin.digest.map_or(Ok(None), |digest| shelf::take(&self.cache, digest))?;
                let bytes = kept.ok_or_else(|| Fault::NotKept { from: source.clone() })?;
                let digest = Digest::of(&bytes);
                (Cow::Owned(bytes), digest)
            }
            PluginSource::Embedded(name) => {
                let found = self.embedded.iter().find(|embedded| embedded.name == name);
                let found = found.ok_or_else(|| Fault::NotEmbedded { name: name.clone() })?;
                let digest = found.digest.and_then(|digest| digest.parse().ok());
                (Cow::Borrowed(found.bytes), digest.unwrap_or_else(|| Digest::of(found.bytes)))
            }
        };
        match plugin.digest {
            Some(expected) if expected != digest => Err(Fault::Digest { expected, actual: digest }),
            Some(_) | None => Ok((bytes, digest)),
        }
    }
}

/// A plugin's file, if it is not absurdly large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let cannot = |source| Fault::Source { path: path.into(), source };
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE + 1), &mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > FILE {
        return Err(Fault::NotAComponent { reason: format!("it has more than {FILE} bytes") });
    }
    Ok(bytes)
}

impl<W: Introduce> Loaded<W> {
    /// Finds the code and learns what the plugin says of itself.
    pub(crate) fn open(
        host: &Arc<Host>,
        config: &PluginConfig,
        subject: &Arc<Subject>,
    ) -> Result<(Self, About), PluginError> {
        let error = |fault| PluginError::new(&config.name, None, fault);
        let (bytes, digest) = host.fetch(config).map_err(error)?;
        let code = if bytes.starts_with(b"\x7fELF") {
            if config.trust != Trust::NativeFull || config.digest.is_none() {
                return Err(error(Fault::Untrusted { digest }));
            }
            Code::Native(Library::open::<W>(&config.name, &bytes).map_err(error)?)
        } else {
            let (entry, pre) = (OnceLock::new(), OnceLock::new());
            Code::Component(Box::new(Component { bytes, shipped: host.description(config), entry, pre }))
        };
        let mut plugin = Self {
            host: Arc::clone(host),
            subject: Arc::clone(subject),
            digest,
            code,
            manifest: OnceLock::new(),
            validated: OnceLock::new(),
        };
        let about = plugin.introduce()?;
        plugin.narrow();
        Ok((plugin, about))
    }

    /// From here on only what the manifest requests is granted, also where that decides what is
    /// linked.
    fn narrow(&mut self) {
        let narrowed = self.subject.narrowed(&self.manifest());
        if let Code::Component(component) = &mut self.code
            && narrowed.may_call() != self.subject.may_call()
        {
            component.pre = OnceLock::new();
        }
        self.subject = Arc::new(narrowed);
    }

    /// Checks the settings, unless that was done before.
    pub(crate) fn validate(&self, facts: &dyn Fn() -> HostFacts) -> Result<(), PluginError> {
        if self.validated.get().is_some() {
            return Ok(());
        }
        match &self.code {
            Code::Component(component) if self.is_known_to_like_its_settings(component) => {}
            Code::Component(component) => {
                let entry = self.entry(component).map_err(|fault| self.error(None, fault))?;
                if !entry.knows_settings(&self.subject.settings) {
                    W::validate_settings(self, facts)?;
                    let kept = entry.remember_settings(&self.subject.settings);
                    kept.map_err(|fault| self.error(None, fault))?;
                }
            }
            Code::Native(_) => W::validate_settings(self, facts)?,
        }
        self.validated.get_or_init(|| ());
        Ok(())
    }

    /// One that is part of the program was asked about having none before it became part of it.
    fn is_known_to_like_its_settings(&self, component: &Component<W>) -> bool {
        component.shipped.is_some() && self.subject.settings.is_empty() && !W::ASKS_ABOUT_THE_HOST
    }

    /// Asks for something without an answer's meaning.
    pub(crate) fn ask<I: Serialize, R: DeserializeOwned>(
        &self,
        function: &'static str,
        input: I,
        call: impl FnOnce(&W::Instance, &mut Store<Caller>, &I) -> wasmtime::Result<R>,
    ) -> Result<(R, Heard), PluginError> {
        let session = Session::new(&self.subject);
        let (session, result) = match &self.code {
            Code::Component(component) => {
                let linked = self.linked(component).map_err(|fault| self.error(Some(function), fault))?;
                if linked.lacks_remote && !INTRODUCTION.contains(&function) {
                    return Err(self.error(None, Fault::Denied(self.subject.denied(self.remote_denied()))));
                }
                let ready = self.host.ready().map_err(|fault| self.error(Some(function), fault))?;
                let limits = self.subject.limits;
                ready.machine.call::<W, R>(&linked.pre, session, limits, W::BOUND, |instance, store| {
                    call(instance, store, &input)
                })
            }
            Code::Native(library) => library.call(session, self.subject.limits.time, function, &input),
        };
        if let Code::Component(_) = &self.code {
            let (plugin, cost) = (&*self.subject.name, session.cost);
            self.subject.listener.tell(Event::Called { plugin, function, cost });
        }
        let heard = session.finish();
        match result {
            Ok(answer) => Ok((answer, heard)),
            Err(fault) => Err(PluginError::logged(&self.subject.name, function, fault, heard.last_log)),
        }
    }

    /// Asks for something the plugin may refuse, and checks the answer.
    ///
    /// Returns what the plugin reported on the way, too.
    pub(crate) fn plan<I: Serialize, R: DeserializeOwned, P: TryFrom<R, Error = Nonsense>>(
        &self,
        function: &'static str,
        input: I,
        call: impl FnOnce(&W::Instance, &mut Store<Caller>, &I) -> wasmtime::Result<Result<R, types::Failure>>,
    ) -> Result<(P, Vec<Diagnostic>), PluginError> {
        self.plan_aloud(function, input, call).map(|(plan, heard)| (plan, heard.diagnostics))
    }

    /// The same with everything else that was heard.
    pub(crate) fn plan_aloud<I: Serialize, R: DeserializeOwned, P: TryFrom<R, Error = Nonsense>>(
        &self,
        function: &'static str,
        input: I,
        call: impl FnOnce(&W::Instance, &mut Store<Caller>, &I) -> wasmtime::Result<Result<R, types::Failure>>,
    ) -> Result<(P, Heard), PluginError> {
        let (answer, mut heard) = self.ask(function, input, call)?;
        match answer {
            Ok(raw) => {
                let plan =
                    P::try_from(raw).map_err(|nonsense| self.error(Some(function), nonsense.into()))?;
                Ok((plan, heard))
            }
            Err(failure) => {
                let mut failure = convert::failure(failure);
                failure.diagnostics.append(&mut heard.diagnostics);
                let fault = heard.denied.map_or(Fault::Failed(failure), Fault::Denied);
                Err(PluginError::logged(&self.subject.name, function, fault, None))
            }
        }
    }

    /// Asks for something that is either fine or refused.
    pub(crate) fn agree<I: Serialize>(
        &self,
        function: &'static str,
        input: I,
        call: impl FnOnce(&W::Instance, &mut Store<Caller>, &I) -> wasmtime::Result<Result<(), types::Failure>>,
    ) -> Result<(), PluginError> {
        let (Agreed, reported) = self.plan(function, input, call)?;
        self.tell(&reported);
        Ok(())
    }

    /// An error of this plugin.
    pub(crate) fn error(&self, function: Option<&'static str>, fault: Fault) -> PluginError {
        PluginError::new(&self.subject.name, function, fault)
    }

    /// It answered with what it has no right to.
    pub(crate) fn denied(&self, function: &'static str, denied: authorize::Denied) -> PluginError {
        self.error(Some(function), Fault::Denied(self.subject.denied(denied)))
    }

    /// Passes on what a plugin reported where its answer has no place for it.
    pub(crate) fn tell(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            self.subject.listener.tell(Event::Diagnostic { plugin: &self.subject.name, diagnostic });
        }
    }

    /// What the plugin says of itself: as it is known, or by asking.
    fn introduce(&self) -> Result<About, PluginError> {
        let Code::Component(component) = &self.code else { return Ok(self.ask_description()?.about) };
        let failed = |fault| self.error(None, fault);
        if let Some(known) = self.known(component).map_err(failed)? {
            self.manifest.get_or_init(|| known.manifest);
            return Ok(known.about);
        }
        let description = self.ask_description()?;
        self.entry(component).and_then(|entry| entry.write_description(&description)).map_err(failed)?;
        Ok(description.about)
    }

    fn known(&self, component: &Component<W>) -> Result<Option<Description>, Fault> {
        let shipped = component.shipped.and_then(|json| serde_json::from_str(json).ok());
        if shipped.is_some() { Ok(shipped) } else { self.entry(component)?.description() }
    }

    fn ask_description(&self) -> Result<Description, PluginError> {
        let manifest = self.ask_manifest()?;
        let about = W::describe(self)?;
        let manifest = self.manifest.get_or_init(|| manifest).clone();
        Ok(Description { about, manifest })
    }

    fn entry<'c>(&self, component: &'c Component<W>) -> Result<&'c Entry, Fault> {
        if let Some(entry) = component.entry.get() {
            return Ok(entry);
        }
        let entry = Entry::open(&self.host.cache, self.digest, &self.host.ready()?.key)?;
        Ok(component.entry.get_or_init(|| entry))
    }

    fn ask_manifest(&self) -> Result<Manifest, PluginError> {
        let (raw, _): (types::Manifest, _) =
            self.ask("introduce", (), |instance, store, ()| W::introduce(instance, store))?;
        raw.try_into().map_err(|error: Nonsense| self.error(Some("introduce"), error.into()))
    }

    /// What the plugin asks for.
    pub(crate) fn manifest(&self) -> Manifest {
        self.manifest.get().cloned().unwrap_or_default()
    }

    fn remote_denied(&self) -> authorize::Denied {
        let manifest = self.manifest();
        let wanted: Vec<&str> = manifest
            .requests
            .iter()
            .filter_map(|request| match request.parts() {
                ("remote", address) => Some(address),
                _ => None,
            })
            .collect();
        authorize::unlinked_remote(&self.subject.name, &wanted)
    }

    /// The component, ready to be instantiated.
    fn linked<'c>(&self, component: &'c Component<W>) -> Result<&'c Linked<W>, Fault> {
        if let Some(linked) = component.pre.get() {
            return Ok(linked);
        }
        let ready = self.host.ready()?;
        let kept = self.entry(component)?.code()?.map(|code| code.map(ready.machine.engine()));
        let mapped = match kept {
            Some(Ok(mapped)) => mapped,
            Some(Err(_)) | None => aot::load(ready.machine.engine(), &self.compile(component)?)?,
        };
        let linked = ready.machine.link::<W>(&mapped, self.subject.may_call())?;
        Ok(component.pre.get_or_init(|| linked))
    }

    /// Compiles a component, and keeps the code.
    fn compile(&self, component: &Component<W>) -> Result<Vec<u8>, Fault> {
        let plugin = &*self.subject.name;
        self.subject.listener.tell(Event::Compiling { plugin, bytes: component.bytes.len() });
        let start = Instant::now();
        let code = aot::compile(self.host.ready()?.machine.engine(), &component.bytes)?;
        self.subject.listener.tell(Event::Compiled { plugin, took: start.elapsed() });
        self.entry(component)?.write_code(&code)?;
        Ok(code)
    }

    /// The same call with the same answers gives the same plan: a component has nothing else to go by.
    pub(crate) fn is_pure(&self) -> bool {
        matches!(self.code, Code::Component(_))
    }
}

struct Agreed;

impl TryFrom<()> for Agreed {
    type Error = Nonsense;

    fn try_from((): ()) -> Result<Self, Nonsense> {
        Ok(Self)
    }
}
