//! Components: the sandbox.
//!
//! One engine per process and a fresh store per call, so no hidden state can spoil a cache.
//! Planners run on fuel, which runs out at the same instruction every time; hooks run against a
//! clock: a thread, started by the first call of a hook, moves the engine's epoch on every
//! [`TICK`]. Memory is bounded over all memories of a component together. What a component
//! hands over in one call is bounded by wasmtime's hostcall fuel, so that a list of a million
//! references to one long string does not become a million strings here.
//!
//! A linker offers the imports of one world and nothing else: no clock, no randomness, no files,
//! no sockets. Languages that need WASI get answers that say nothing ([`wasi`]). Determinism is a
//! fact of the linker; NaNs are canonical.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, ResourceLimiter, Store, Trap, WasmBacktrace};

use crate::config::{Limits, World};
use crate::contract::VERSION;
use crate::imports::{self, Caller, Contract};
use crate::session::{BYTES, Session};
use crate::wasi;
use crate::{Cost, Fault};

/// How often the epoch moves on.
const TICK: Duration = Duration::from_millis(5);
/// Elements of all tables of a component at most.
const ELEMENTS: usize = 1 << 20;
/// Far enough away that it never comes.
const NEVER: u64 = u64::MAX / 4;

/// What runs out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Instructions: the same answer every time.
    Fuel,
    /// Time: for what may not hold up a container.
    Time,
}

/// The engine, and how many calls the clock runs for.
pub(crate) struct Machine {
    engine: Engine,
    clocked: Arc<AtomicUsize>,
}

/// A call that the clock runs for. The last one's end stops it, so that a program that waits for
/// a container sleeps all the time.
struct Clocked(Arc<AtomicUsize>);

impl Drop for Clocked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Machine {
    pub(crate) fn new() -> Result<Self, Fault> {
        let mut config = wasmtime::Config::new();
        config.consume_fuel(true);
        config.epoch_interruption(true);
        config.cranelift_nan_canonicalization(true);
        config.max_wasm_stack(1 << 20);
        config.memory_init_cow(true);
        let engine = Engine::new(&config).map_err(|error| sandbox(&error))?;
        Ok(Self { engine, clocked: Arc::default() })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Ties a component to the imports of its world; `remote` is one of them when it is granted.
    pub(crate) fn link<W: Contract>(&self, component: &Component, remote: bool) -> Result<Linked<W>, Fault> {
        let exports = exports(&self.engine, component);
        check_export(&exports, W::EXPORT, W::WORLD)?;
        check_export(&exports, imports::ABOUT, W::WORLD)?;
        let mut linker = Linker::new(&self.engine);
        W::link(&mut linker).map_err(|error| sandbox(&error))?;
        wasi::link(&self.engine, &mut linker, component).map_err(|error| sandbox(&error))?;
        let wants_remote = self.wants_remote::<W>(component);
        if wants_remote {
            imports::link_remote(&mut linker, remote).map_err(|error| sandbox(&error))?;
        }
        let pre =
            linker.instantiate_pre(component).map_err(|error| self.missing_imports(component, &error))?;
        let pre = W::prepare(pre).map_err(|error| Fault::Contract { reason: format!("{error:#}") })?;
        Ok(Linked { pre, lacks_remote: wants_remote && !remote })
    }

    /// Instructions are pure, so their world has no `remote`.
    fn wants_remote<W: Contract>(&self, component: &Component) -> bool {
        let kind = component.component_type();
        let remote = |name: &str| parts(name).is_some_and(|(interface, _)| interface == "remote");
        W::WORLD != World::Instruction && kind.imports(&self.engine).any(|(name, _)| remote(name))
    }

    /// Calls one function of a fresh instance.
    pub(crate) fn call<W: Contract, R>(
        &self,
        pre: &W::Pre,
        session: Session,
        limits: Limits,
        bound: Bound,
        function: impl FnOnce(&W::Instance, &mut Store<Caller>) -> wasmtime::Result<R>,
    ) -> (Session, Result<R, Fault>) {
        let mut store = Store::new(&self.engine, Caller::new(session, limits.memory));
        store.limiter(|caller| &mut caller.meter);
        store.set_hostcall_fuel(BYTES);
        let clocked = (bound == Bound::Time).then(|| self.start_clock());
        let begun = Instant::now();
        let mut instantiated = Duration::ZERO;
        let result = self
            .bound(&mut store, limits, bound)
            .and_then(|()| W::instantiate(pre, &mut store))
            .inspect(|_| instantiated = begun.elapsed())
            .map_err(Stopped::Before)
            .and_then(|instance| function(&instance, &mut store).map_err(Stopped::Inside));
        drop(clocked);
        let took = begun.elapsed();
        let left = store.get_fuel().unwrap_or_default();
        let Caller { mut session, meter, wasi } = store.into_data();
        let fuel = if bound == Bound::Fuel { limits.fuel.saturating_sub(left) } else { 0 };
        session.cost = Cost { fuel, memory: meter.memory, instantiated, took };
        wasi.finish(&mut session);
        let result = result.map_err(|stopped| match stopped {
            Stopped::Before(error) if !ran(&error) && meter.exceeded.is_none() => {
                Fault::Contract { reason: format!("{error:#}") }
            }
            Stopped::Before(error) | Stopped::Inside(error) => fault(&error, &meter, limits),
        });
        (session, result)
    }

    fn bound(&self, store: &mut Store<Caller>, limits: Limits, bound: Bound) -> wasmtime::Result<()> {
        match bound {
            Bound::Fuel => {
                store.set_fuel(limits.fuel)?;
                store.set_epoch_deadline(NEVER);
            }
            Bound::Time => {
                store.set_fuel(u64::MAX)?;
                let ticks = limits.time.as_millis().div_ceil(TICK.as_millis());
                store.set_epoch_deadline(u64::try_from(ticks).unwrap_or(NEVER).min(NEVER) + 1);
            }
        }
        Ok(())
    }

    fn start_clock(&self) -> Clocked {
        if self.clocked.fetch_add(1, Ordering::AcqRel) == 0 {
            let (engine, clocked) = (self.engine.weak(), Arc::clone(&self.clocked));
            std::thread::spawn(move || {
                while clocked.load(Ordering::Acquire) > 0 {
                    let Some(engine) = engine.upgrade() else { return };
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            });
        }
        Clocked(Arc::clone(&self.clocked))
    }

    /// Imports of somebody else's, or of another version of ours, are named.
    fn missing_imports(&self, component: &Component, error: &wasmtime::Error) -> Fault {
        let kind = component.component_type();
        let names: Vec<&str> = kind.imports(&self.engine).map(|(name, _)| name).collect();
        let foreign = names.iter().filter(|name| parts(name).is_none() && !wasi::offers(name));
        let imports: Vec<String> = foreign.map(|name| (*name).to_owned()).collect();
        if !imports.is_empty() {
            return Fault::Imports { imports };
        }
        match names.iter().filter_map(|name| parts(name)).find(|(_, version)| *version != VERSION) {
            Some((_, found)) => Fault::Version { found: found.into(), ours: VERSION.into() },
            None => Fault::Contract { reason: format!("{error:#}") },
        }
    }
}

/// A component with its imports.
pub(crate) struct Linked<W: Contract> {
    pub(crate) pre: W::Pre,
    /// It imports `remote`, and nothing is granted to it.
    pub(crate) lacks_remote: bool,
}

/// Whether one of the exports is this interface, in a version that fits.
fn check_export(exports: &[String], wanted: &str, world: World) -> Result<(), Fault> {
    let found = exports.iter().filter_map(|name| parts(name)).filter(|(interface, _)| *interface == wanted);
    let versions: Vec<&str> = found.map(|(_, version)| version).collect();
    match versions.first() {
        _ if versions.iter().any(|version| fits(version)) => Ok(()),
        Some(found) => Err(Fault::Version { found: (*found).into(), ours: VERSION.into() }),
        None => Err(Fault::World { expected: world, exports: exports.to_vec() }),
    }
}

/// The interface and the version of one of our names: `wharf:plugin/host@0.1.0`.
fn parts(name: &str) -> Option<(&str, &str)> {
    let rest = name.strip_prefix("wharf:plugin/")?;
    Some(rest.split_once('@').unwrap_or((rest, "none")))
}

/// What a component exports, by name.
fn exports(engine: &Engine, component: &Component) -> Vec<String> {
    component.component_type().exports(engine).map(|(name, _)| name.to_owned()).collect()
}

/// Same major and minor number: patches of the contract change no type.
fn fits(version: &str) -> bool {
    let series = |version: &str| version.rsplit_once('.').map(|(series, _)| series.to_owned());
    series(version) == series(VERSION)
}

pub(crate) fn sandbox(error: &wasmtime::Error) -> Fault {
    Fault::Sandbox { reason: format!("{error:#}") }
}

/// Counts memory and tables of one store, over all instances in it.
pub(crate) struct Meter {
    limit: u64,
    memory: u64,
    elements: usize,
    exceeded: Option<u64>,
}

impl Meter {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, memory: 0, elements: 0, exceeded: None }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let wanted = self.memory.saturating_add(more);
        if wanted > self.limit {
            self.exceeded = Some(wanted);
            return Err(wasmtime::Error::msg("over the memory limit"));
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.elements = self.elements.saturating_add(desired.saturating_sub(current));
        if self.elements > ELEMENTS {
            return Err(wasmtime::Error::msg("over the limit of table elements"));
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        256
    }

    fn tables(&self) -> usize {
        256
    }

    fn memories(&self) -> usize {
        64
    }
}

/// How far a call came.
enum Stopped {
    /// The component was being put together: its types are compared only then.
    Before(wasmtime::Error),
    /// It ran.
    Inside(wasmtime::Error),
}

/// Whether the component's own code had a part in it.
fn ran(error: &wasmtime::Error) -> bool {
    error.downcast_ref::<Trap>().is_some() || error.downcast_ref::<WasmBacktrace>().is_some()
}

/// What a failed call means.
fn fault(error: &wasmtime::Error, meter: &Meter, limits: Limits) -> Fault {
    if let Some(wanted) = meter.exceeded {
        return Fault::Memory { wanted, limit: limits.memory };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Fault::Fuel { fuel: limits.fuel },
        Some(Trap::Interrupt) => Fault::Time { limit: limits.time },
        Some(trap) => Fault::Trap { reason: trap.to_string(), functions: functions(error) },
        None => host_fault(error),
    }
}

/// A call that ended on our side of the border.
fn host_fault(error: &wasmtime::Error) -> Fault {
    let reason = error.root_cause().to_string();
    if reason.contains("fuel allocated for hostcalls") {
        return Fault::TooLarge { what: format!("more than {BYTES} bytes in one call") };
    }
    Fault::Trap { reason, functions: functions(error) }
}

/// The innermost functions of the component, innermost first.
fn functions(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    names.take(5).map(|name| format!("{:#}", rustc_demangle::demangle(name))).collect()
}
