//! WASI for languages whose runtimes insist on it: every question is answered, and no answer says
//! anything about the host.
//!
//! | asked for | answer |
//! |---|---|
//! | the time | the build argument `SOURCE_DATE_EPOCH` where there is one (a recorded question), else 0; it stands still |
//! | randomness | the same numbers in every call |
//! | arguments, environment, directories, a terminal | none |
//! | standard input | at its end |
//! | standard output and error | lines in the plugin's log, with the levels `stdout` and `stderr` |
//! | to wait | it is over already |
//! | a socket, or the address of a name | access denied |
//! | to exit, or anything else | the call ends with an error that names the function |
//!
//! Only what a component imports is linked, by name and without types: any 0.2.x of an interface
//! in [`OFFERED`] will do. What is not there (`wasi:http`, WASI 0.3) is refused when the component
//! is linked. As every other answer of the host, these are counted by the [`Session`].

mod answer;
mod output;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType, Val};
use wasmtime::{Engine, Result, StoreContextMut};

use crate::imports::Caller;
use crate::session::Session;
use answer::Answer;
use output::Output;

/// Interfaces that get answers, without package and version.
const OFFERED: [&str; 30] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/timezone",
    "clocks/wall-clock",
    "filesystem/preopens",
    "filesystem/types",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
    "cli/types",
    "clocks/types",
];

/// Resources of these interfaces. A resource has the same name wherever it is used, so its place
/// here tells its type.
const RESOURCES: [&str; 12] = [
    "error",
    "pollable",
    "input-stream",
    "output-stream",
    "terminal-input",
    "terminal-output",
    "descriptor",
    "directory-entry-stream",
    "network",
    "tcp-socket",
    "udp-socket",
    "resolve-address-stream",
];

/// What WASI knows during one call.
pub(crate) struct Wasi {
    random: u64,
    stdout: Output,
    stderr: Output,
}

impl Wasi {
    pub(crate) fn new() -> Self {
        Self { random: 0, stdout: Output::new("stdout"), stderr: Output::new("stderr") }
    }

    /// Logs what was written without a line feed at its end.
    pub(crate) fn finish(self, session: &mut Session) {
        for output in [self.stdout, self.stderr] {
            // A call that logged too much has ended for another reason already.
            let _dropped = output.finish(session);
        }
    }

    /// SplitMix64, from the same seed in every call.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Whether an import of this name gets answers.
pub(crate) fn offers(import: &str) -> bool {
    interface(import).is_some()
}

/// Links what a component imports of WASI.
pub(crate) fn link(engine: &Engine, linker: &mut Linker<Caller>, component: &Component) -> Result<()> {
    for (import, item) in component.component_type().imports(engine) {
        let (Some(interface), ComponentItem::ComponentInstance(wanted)) = (interface(import), item.ty) else {
            continue;
        };
        let mut instance = linker.instance(import)?;
        for (name, item) in wanted.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let stub = stub(interface, name);
                    instance.func_new(name, move |store, _, parameters, results| {
                        stub(store, parameters, results)
                    })?;
                }
                ComponentItem::Resource(_) => {
                    instance.resource(name, ResourceType::host_dynamic(kind(name)), |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// `cli/exit` of `wasi:cli/exit@0.2.6`.
fn interface(import: &str) -> Option<&'static str> {
    let (path, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let known = OFFERED.iter().find(|offered| **offered == path)?;
    version.starts_with("0.2.").then_some(*known)
}

/// The number of a resource's type.
fn kind(resource: &str) -> u32 {
    let place = RESOURCES.iter().position(|name| *name == resource);
    u32::try_from(place.unwrap_or(RESOURCES.len())).unwrap_or(u32::MAX)
}

/// A function as the linker wants it.
fn stub(
    interface: &'static str,
    name: &str,
) -> impl Fn(StoreContextMut<'_, Caller>, &[Val], &mut [Val]) -> Result<()> + Send + Sync + 'static {
    let known = Answer::of(interface, name);
    let name = format!("{interface}.{name}");
    move |mut store, parameters, results| {
        let bytes = parameters.iter().map(|value| if let Val::List(all) = value { all.len() } else { 0 });
        store.data_mut().session.count(bytes.sum())?;
        let Some(known) = known else { return Err(answer::absent(&name)) };
        let given = known.give(&mut store, parameters)?;
        if let (Some(result), Some(given)) = (results.first_mut(), given) {
            *result = given;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
