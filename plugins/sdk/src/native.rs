//! The native side: the same plugin as a shared library.
//!
//! ```text
//! wharf_plugin_v1() -> Plugin { abi, size, wit, world, call, free }        the only symbol
//! call(function, postcard of the parameters, Host, &mut Buffer) -> code    in the plugin
//! Host.call(state, function, postcard of the parameters, &mut Buffer)      in the engine
//! ```
//!
//! Codes: 0 an answer, 1 a panic, 2 no such function, 3 the input did not decode; 4 only from the
//! engine: not available now. The output belongs to whoever wrote it and goes back to its `free`.
//! `wit` is the contract's text: the engine refuses a library that was built from another one.
//! A `Host` is good for the call it came with, on the calling thread.

use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::devices::Device;
use crate::hook::Files;
use crate::instruction::{Context, Entry, ResolvedImage, Root};
use crate::remote::{Request, Response};
use crate::signatures::Signature;
use crate::state::View;
use crate::{Diagnostic, Failure, Platform, Settings};

const ABI: u32 = 1;
const ANSWERED: i32 = 0;
const PANICKED: i32 = 1;
const UNKNOWN: i32 = 2;
const UNREADABLE: i32 = 3;

const WIT: &str = concat!(
    include_str!("../../../wit/about.wit"),
    include_str!("../../../wit/devices.wit"),
    include_str!("../../../wit/hook.wit"),
    include_str!("../../../wit/host.wit"),
    include_str!("../../../wit/instruction.wit"),
    include_str!("../../../wit/network.wit"),
    include_str!("../../../wit/remote.wit"),
    include_str!("../../../wit/signatures.wit"),
    include_str!("../../../wit/storage.wit"),
    include_str!("../../../wit/types.wit"),
);

/// Bytes that are borrowed for a call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    data: *const u8,
    len: usize,
}

/// Bytes that belong to the side that wrote them; all zero when there are none.
#[repr(C)]
pub struct Buffer {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

/// What the symbol returns.
#[repr(C)]
pub struct Plugin {
    abi: u32,
    size: u32,
    wit: Bytes,
    world: Bytes,
    call: unsafe extern "C" fn(Bytes, Bytes, *const Host, *mut Buffer) -> i32,
    free: unsafe extern "C" fn(Buffer),
}

// SAFETY: nothing in it is ever written, and its pointers are to constants and functions.
unsafe impl Sync for Plugin {}

/// The engine, for the length of a call.
#[repr(C)]
pub struct Host {
    abi: u32,
    size: u32,
    state: *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, Bytes, Bytes, *mut Buffer) -> i32,
    free: unsafe extern "C" fn(Buffer),
}

/// The answer to a call, or a code with a message.
pub type Answer = Result<Vec<u8>, (i32, String)>;

/// A world's functions by their names.
pub trait Dispatch: 'static {
    /// The world.
    const WORLD: &'static str;
    /// Calls one.
    ///
    /// # Errors
    /// When there is no such function, or its input does not decode.
    fn dispatch(function: &str, input: &[u8]) -> Answer;
}

impl Plugin {
    /// The description of a plugin of one world.
    pub const fn of<D: Dispatch>() -> Self {
        Self {
            abi: ABI,
            #[allow(clippy::cast_possible_truncation, reason = "56 bytes")]
            size: size_of::<Self>() as u32,
            wit: Bytes::of(WIT.as_bytes()),
            world: Bytes::of(D::WORLD.as_bytes()),
            call: call::<D>,
            free,
        }
    }
}

impl Bytes {
    const fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }

    /// # Safety
    /// `data` must point to `len` bytes that stay as they are while the slice is used.
    unsafe fn as_slice<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the caller vouches for the pointer and the length; null was handled above.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}

impl Buffer {
    const EMPTY: Self = Self { data: std::ptr::null_mut(), len: 0, capacity: 0 };

    fn of(bytes: Vec<u8>) -> Self {
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Self { data: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
    }
}

thread_local! {
    static HOST: Cell<*const Host> = const { Cell::new(std::ptr::null()) };
}

/// # Safety
/// As the module says: `function` and `input` are readable, `host` is null or good for this call,
/// `output` is writable.
unsafe extern "C" fn call<D: Dispatch>(
    function: Bytes,
    input: Bytes,
    host: *const Host,
    output: *mut Buffer,
) -> i32 {
    log_panics();
    // SAFETY: the engine keeps the function's name in place during the call.
    let function = unsafe { function.as_slice() };
    // SAFETY: the engine keeps the input in place during the call.
    let input = unsafe { input.as_slice() };
    let before = HOST.replace(host);
    let answer = catch_unwind(AssertUnwindSafe(|| {
        let name = std::str::from_utf8(function).map_err(|error| (UNKNOWN, error.to_string()))?;
        D::dispatch(name, input)
    }));
    HOST.set(before);
    let (code, bytes) = match answer {
        Ok(Ok(bytes)) => (ANSWERED, bytes),
        Ok(Err((code, message))) => (code, message.into_bytes()),
        Err(panic) => (PANICKED, said(panic.as_ref()).into_bytes()),
    };
    // SAFETY: the engine gives the address of a buffer of its own; writing drops nothing, for a
    // buffer has no destructor.
    unsafe { output.write(Buffer::of(bytes)) };
    code
}

/// # Safety
/// `buffer` is what [`call`] wrote, and is given back once.
unsafe extern "C" fn free(buffer: Buffer) {
    if !buffer.data.is_null() {
        // SAFETY: the three parts are those of a vector that `Buffer::of` took apart.
        drop(unsafe { Vec::from_raw_parts(buffer.data, buffer.len, buffer.capacity) });
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked".to_owned())
}

/// Sends what a panic says to the engine's log, place included. The library has a panic hook of
/// its own: it is linked with its own standard library.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if HOST.get().is_null() {
                before(panic);
            } else {
                log("error", &panic.to_string());
            }
        }));
    });
}

/// Asks the engine; `None` when there is none, or it does not answer.
fn ask<I: Serialize, O: DeserializeOwned>(function: &str, input: &I) -> Option<O> {
    let host = HOST.get();
    // SAFETY: the pointer is null or was given to the call that is running on this thread, which
    // resets it before it returns.
    let host = unsafe { host.as_ref() }?;
    let input = postcard::to_allocvec(input).ok()?;
    let mut output = Buffer::EMPTY;
    // SAFETY: name and input live until the call returns, and `output` is ours to write.
    let code = unsafe {
        (host.call)(host.state, Bytes::of(function.as_bytes()), Bytes::of(&input), &raw mut output)
    };
    let bytes = Bytes { data: output.data, len: output.len };
    // SAFETY: what the engine wrote stays until it is given back below.
    let answer = postcard::from_bytes(unsafe { bytes.as_slice() }).ok().filter(|_| code == ANSWERED);
    if !output.data.is_null() {
        // SAFETY: the buffer came from this host's `call`, and is given back once.
        unsafe { (host.free)(output) };
    }
    answer
}

/// Asks the engine for what a plan depends on: without an answer there can be no plan.
fn must<I: Serialize, O: DeserializeOwned>(function: &str, input: &I) -> O {
    match ask(function, input) {
        Some(answer) => answer,
        None => panic!("the engine does not answer `{function}` here"),
    }
}

/// Writes an answer.
///
/// # Errors
/// Never for the types of the contract.
pub fn encode<T: Serialize>(value: &T) -> Answer {
    postcard::to_allocvec(value).map_err(|error| (PANICKED, error.to_string()))
}

/// Reads parameters.
///
/// # Errors
/// When the bytes are something else.
pub fn decode<T: DeserializeOwned>(input: &[u8]) -> Result<T, (i32, String)> {
    postcard::from_bytes(input).map_err(|error| (UNREADABLE, error.to_string()))
}

/// Reads the only parameter.
///
/// # Errors
/// When the bytes are something else.
pub fn one<T: DeserializeOwned>(input: &[u8]) -> Result<T, (i32, String)> {
    decode::<(T,)>(input).map(|(value,)| value)
}

/// There is no such function.
///
/// # Errors
/// Always.
pub fn unknown(function: &str) -> Answer {
    Err((UNKNOWN, function.to_owned()))
}

pub(crate) fn features() -> Vec<String> {
    ask("host.features", &()).unwrap_or_default()
}

pub(crate) fn settings_of_plugin() -> Settings {
    ask("host.settings-of-plugin", &()).unwrap_or_default()
}

pub(crate) fn log(level: &str, message: &str) {
    let _: Option<()> = ask("host.log", &(level, message));
}

pub(crate) fn report(diagnostic: &Diagnostic) {
    let _: Option<()> = ask("host.report", &(diagnostic,));
}

/// The build context of the running call.
pub(crate) struct HostContext;

impl Context for HostContext {
    fn target_platform(&self) -> Platform {
        must("context.target-platform", &())
    }

    fn arg(&self, name: &str) -> Option<String> {
        must("context.arg", &(name,))
    }

    fn env(&self, name: &str) -> Option<String> {
        must("context.env", &(name,))
    }

    fn working_dir(&self) -> String {
        must("context.working-dir", &())
    }

    fn user(&self) -> String {
        must("context.user", &())
    }

    fn shell(&self) -> Vec<String> {
        must("context.shell", &())
    }

    fn stat(&self, root: &Root, path: &str) -> Result<Option<Entry>, Failure> {
        must("context.stat", &(root, path))
    }

    fn read(&self, root: &Root, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        must("context.read", &(root, path, limit))
    }

    fn glob(&self, root: &Root, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        must("context.glob", &(root, patterns, limit))
    }

    fn resolve_image(&self, reference: &str, platform: Option<&Platform>) -> Result<ResolvedImage, Failure> {
        must("context.resolve-image", &(reference, platform))
    }
}

/// Calls a server through the engine.
pub(crate) fn call_server(token: &str, request: &Request) -> Result<Response, Failure> {
    must("remote.call", &(token, request))
}

pub(crate) fn asked_at() -> Result<u64, Failure> {
    must("signatures.asked-at", &())
}

pub(crate) fn digests() -> Result<Vec<String>, Failure> {
    must("signatures.digests", &())
}

pub(crate) fn about(subject: &str) -> Result<Vec<Signature>, Failure> {
    must("signatures.about", &(subject,))
}

pub(crate) fn site_file(name: &str) -> Result<Option<Vec<u8>>, Failure> {
    must("signatures.site-file", &(name,))
}

pub(crate) fn add_device(device: &Device) {
    must("devices.add", &(device,))
}

pub(crate) fn devices_of_op() -> Vec<Device> {
    must("devices.of-op", &())
}

/// The image of the running call.
pub(crate) struct HostFiles;

impl Files for HostFiles {
    fn stat(&self, path: &str) -> Result<Option<Entry>, Failure> {
        must("files.stat", &(path,))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        must("files.read", &(path, limit))
    }

    fn glob(&self, patterns: &[String], limit: u32) -> Result<Vec<Entry>, Failure> {
        must("files.glob", &(patterns, limit))
    }
}

/// The driver's state, as the running call sees it.
pub(crate) struct HostView;

impl View for HostView {
    fn get(&self, key: &str) -> Option<Vec<u8>> {
        must("view.get", &(key,))
    }

    fn keys(&self, prefix: &str, limit: u32) -> Vec<String> {
        must("view.keys", &(prefix, limit))
    }
}

#[cfg(test)]
mod tests;
