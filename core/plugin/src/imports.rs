//! What the host answers to a component, and which interfaces each of the four worlds has.

use wasmtime::component::{HasSelf, InstancePre, Linker, Resource};
use wasmtime::{Result, Store};

use crate::bindings::{
    Context, Files, View, build_context, build_plan, device_types, exec_devices, hook_types, host,
    image_files, image_signatures, op_devices,
};
use crate::bindings::{
    hook, instruction, network, network_plan, remote, state, storage, storage_plan, types,
};
use crate::config::World;
use crate::convert;
use crate::kind::Root;
use crate::session::Session;
use crate::wasi::Wasi;
use crate::wasm::Meter;

/// What a store holds during one call.
pub(crate) struct Caller {
    pub(crate) session: Session,
    pub(crate) meter: Meter,
    pub(crate) wasi: Wasi,
}

impl Caller {
    /// With a bound on its memory.
    pub(crate) fn new(session: Session, memory: u64) -> Self {
        Self { session, meter: Meter::new(memory), wasi: Wasi::new() }
    }
}

/// One of the four worlds.
pub(crate) trait Contract: 'static {
    type Pre: Send + Sync;
    type Instance;
    /// In the words of the config.
    const WORLD: World;
    /// The interface a component exports beside [`ABOUT`].
    const EXPORT: &'static str;
    /// Offers everything but `remote`.
    fn link(linker: &mut Linker<Caller>) -> Result<()>;
    fn prepare(pre: InstancePre<Caller>) -> Result<Self::Pre>;
    fn instantiate(pre: &Self::Pre, store: &mut Store<Caller>) -> Result<Self::Instance>;
    fn introduce(instance: &Self::Instance, store: &mut Store<Caller>) -> Result<types::Manifest>;
}

/// The interface that every plugin exports.
pub(crate) const ABOUT: &str = "about";

/// The import that is there when something is granted.
pub(crate) const REMOTE: &str = "wharf:plugin/remote@0.1.0";

/// Offers `remote`; without a grant, as a function that can not be called, so that a component that
/// wants it can still say what for.
pub(crate) fn link_remote(linker: &mut Linker<Caller>, granted: bool) -> Result<()> {
    if granted {
        return remote::add_to_linker::<_, HasSelf<_>>(linker, |caller| caller);
    }
    linker
        .instance(REMOTE)?
        .func_new("call", |_, _, _, _| Err(wasmtime::Error::msg("nothing is granted to `remote`")))
}

macro_rules! contract {
    ($name:ident, $module:ident, $instance:ident, $pre:ident, $export:literal, [$($import:ident),*]) => {
        /// The world of the same name.
        pub(crate) struct $name;

        impl Contract for $name {
            type Pre = $module::$pre<Caller>;
            type Instance = $module::$instance;
            const WORLD: World = World::$name;
            const EXPORT: &'static str = $export;

            fn link(linker: &mut Linker<Caller>) -> Result<()> {
                $($import::add_to_linker::<_, HasSelf<_>>(linker, |caller| caller)?;)*
                Ok(())
            }

            fn prepare(pre: InstancePre<Caller>) -> Result<Self::Pre> {
                $module::$pre::new(pre)
            }

            fn instantiate(pre: &Self::Pre, store: &mut Store<Caller>) -> Result<Self::Instance> {
                pre.instantiate(store)
            }

            fn introduce(instance: &Self::Instance, store: &mut Store<Caller>) -> Result<types::Manifest> {
                instance.wharf_plugin_about().call_introduce(store)
            }
        }
    };
}

contract!(
    Instruction,
    instruction,
    InstructionPlugin,
    InstructionPluginPre,
    "instruction",
    [types, host, build_plan, build_context, device_types, exec_devices]
);
contract!(
    Storage,
    storage,
    StoragePlugin,
    StoragePluginPre,
    "storage-driver",
    [types, host, state, storage_plan]
);
contract!(
    Network,
    network,
    NetworkPlugin,
    NetworkPluginPre,
    "network-driver",
    [types, host, state, network_plan]
);
contract!(
    Hook,
    hook,
    HookPlugin,
    HookPluginPre,
    "hook",
    [types, host, build_plan, hook_types, image_files, image_signatures, device_types, op_devices]
);

impl types::Host for Caller {}
impl build_plan::Host for Caller {}
impl build_context::Host for Caller {}
impl state::Host for Caller {}
impl storage_plan::Host for Caller {}
impl network_plan::Host for Caller {}
impl hook_types::Host for Caller {}
impl image_files::Host for Caller {}
impl device_types::Host for Caller {}

impl exec_devices::Host for Caller {
    fn add(&mut self, device: device_types::Device) -> Result<()> {
        Ok(self.session.add_device(device)?)
    }
}

impl op_devices::Host for Caller {
    fn devices(&mut self) -> Result<Vec<device_types::Device>> {
        Ok(self.session.op_devices()?)
    }
}

impl remote::Host for Caller {
    fn call(
        &mut self,
        token: String,
        request: remote::Request,
    ) -> Result<Result<remote::Response, types::Failure>> {
        let answer = self.session.remote(&token, request.into())?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

impl host::Host for Caller {
    fn features(&mut self) -> Result<Vec<String>> {
        Ok(crate::authorize::FEATURES.iter().map(|feature| (*feature).to_owned()).collect())
    }

    fn settings_of_plugin(&mut self) -> Result<types::Settings> {
        Ok(convert::settings(self.session.settings()?))
    }

    fn log(&mut self, level: String, message: String) -> Result<()> {
        Ok(self.session.log(&level, message)?)
    }

    fn report(&mut self, said: types::Diagnostic) -> Result<()> {
        Ok(self.session.report(convert::diagnostic(said))?)
    }
}

impl build_context::HostContext for Caller {
    fn target_platform(&mut self, _: Resource<Context>) -> Result<types::Platform> {
        Ok(self.session.context(0, |context| context.target_platform())?.into())
    }

    fn arg(&mut self, _: Resource<Context>, name: String) -> Result<Option<String>> {
        Ok(self.session.context(name.len(), |context| context.arg(&name))?)
    }

    fn env(&mut self, _: Resource<Context>, name: String) -> Result<Option<String>> {
        Ok(self.session.context(name.len(), |context| context.env(&name))?)
    }

    fn working_dir(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.session.context(0, |context| context.working_dir())?)
    }

    fn user(&mut self, _: Resource<Context>) -> Result<String> {
        Ok(self.session.context(0, |context| context.user())?)
    }

    fn shell(&mut self, _: Resource<Context>) -> Result<Vec<String>> {
        Ok(self.session.context(0, |context| context.shell())?)
    }

    fn stat(
        &mut self,
        _: Resource<Context>,
        root: build_context::Root,
        path: String,
    ) -> Result<Result<Option<types::Entry>, types::Failure>> {
        let answer = self.session.stat(&Root::from(root), &path)?;
        Ok(answer.map(|entry| entry.map(Into::into)).map_err(Into::into))
    }

    fn read(
        &mut self,
        _: Resource<Context>,
        root: build_context::Root,
        path: String,
        limit: u64,
    ) -> Result<Result<Option<Vec<u8>>, types::Failure>> {
        Ok(self.session.read(&Root::from(root), &path, limit)?.map_err(Into::into))
    }

    fn glob(
        &mut self,
        _: Resource<Context>,
        root: build_context::Root,
        patterns: Vec<String>,
        limit: u32,
    ) -> Result<Result<Vec<types::Entry>, types::Failure>> {
        let answer = self.session.glob(&Root::from(root), &patterns, limit)?;
        Ok(answer.map(|entries| entries.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    fn resolve_image(
        &mut self,
        _: Resource<Context>,
        reference: String,
        platform: Option<types::Platform>,
    ) -> Result<Result<build_context::ResolvedImage, types::Failure>> {
        let platform = convert::wanted_platform(platform);
        let answer = self.session.resolve_image(&reference, platform.as_ref())?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }

    fn drop(&mut self, _: Resource<Context>) -> Result<()> {
        Ok(())
    }
}

impl image_files::HostFiles for Caller {
    fn stat(
        &mut self,
        _: Resource<Files>,
        path: String,
    ) -> Result<Result<Option<types::Entry>, types::Failure>> {
        let answer = self.session.image_stat(&path)?;
        Ok(answer.map(|entry| entry.map(Into::into)).map_err(Into::into))
    }

    fn read(
        &mut self,
        _: Resource<Files>,
        path: String,
        limit: u64,
    ) -> Result<Result<Option<Vec<u8>>, types::Failure>> {
        Ok(self.session.image_read(&path, limit)?.map_err(Into::into))
    }

    fn glob(
        &mut self,
        _: Resource<Files>,
        patterns: Vec<String>,
        limit: u32,
    ) -> Result<Result<Vec<types::Entry>, types::Failure>> {
        let answer = self.session.image_glob(&patterns, limit)?;
        Ok(answer.map(|entries| entries.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    fn drop(&mut self, _: Resource<Files>) -> Result<()> {
        Ok(())
    }
}

impl image_signatures::Host for Caller {
    fn asked_at(&mut self) -> Result<Result<u64, types::Failure>> {
        Ok(self.session.asked_at()?.map_err(Into::into))
    }

    fn digests(&mut self) -> Result<Result<Vec<String>, types::Failure>> {
        let answer = self.session.image_digests()?;
        Ok(answer.map(|digests| digests.iter().map(ToString::to_string).collect()).map_err(Into::into))
    }

    fn about(&mut self, subject: String) -> Result<Result<Vec<image_signatures::Signature>, types::Failure>> {
        let answer = self.session.image_signatures(&subject)?;
        Ok(answer.map(|found| found.into_iter().map(Into::into).collect()).map_err(Into::into))
    }

    fn site_file(&mut self, name: String) -> Result<Result<Option<Vec<u8>>, types::Failure>> {
        Ok(self.session.site_file(&name)?.map_err(Into::into))
    }
}

impl state::HostView for Caller {
    fn get(&mut self, _: Resource<View>, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.session.state(key.len(), |view| view.get(&key))?)
    }

    fn keys(&mut self, _: Resource<View>, prefix: String, limit: u32) -> Result<Vec<String>> {
        Ok(self.session.state(prefix.len(), |view| view.keys(&prefix, limit))?)
    }

    fn drop(&mut self, _: Resource<View>) -> Result<()> {
        Ok(())
    }
}
