//! Native plugins: shared libraries in our own process.
//!
//! A library exports one function, `const struct wharf_plugin *wharf_plugin_v1(void)`:
//!
//! ```c
//! struct wharf_bytes  { const uint8_t *data; size_t len; };             /* borrowed for the call */
//! struct wharf_buffer { uint8_t *data; size_t len; size_t capacity; };  /* owned by its maker */
//! struct wharf_plugin {
//!   uint32_t abi;              /* 1 */
//!   uint32_t size;             /* sizeof(struct wharf_plugin), at least */
//!   struct wharf_bytes wit;    /* the files of wit/ by name, concatenated */
//!   struct wharf_bytes world;  /* "instruction-plugin", ... */
//!   int32_t (*call)(struct wharf_bytes function, struct wharf_bytes input,
//!                   const struct wharf_host *host, struct wharf_buffer *output);
//!   void (*free)(struct wharf_buffer);
//! };
//! struct wharf_host {
//!   uint32_t abi, size;
//!   void *state;               /* handed back unchanged */
//!   int32_t (*call)(void *state, struct wharf_bytes function, struct wharf_bytes input,
//!                   struct wharf_buffer *output);
//!   void (*free)(struct wharf_buffer);
//! };
//! ```
//!
//! `input` is the postcard of a tuple of the WIT parameters without resources (a `bool` in place of
//! an optional one), `output` that of the WIT result. The host's functions are called
//! `host.log`, `context.arg`, `view.get`, `files.stat`, `remote.call` and so on. Both `call`s return 0, or 1 (panicked), 2 (no such function), 3 (input not
//! understood), 4 (host: not available now), with a text in `output`. Each side frees what it
//! made; neither lets a panic cross. The contract's text must be ours, but for comments and
//! blanks, or one that ours only adds imports to.
//!
//! Each call runs on a thread of its own, and the library asks us by messages. A call that takes
//! longer than `limits.time_ms`, not counting what it waits for us, is given up: its thread can not
//! be stopped and stays behind until the program ends, and the library is not called again. That is
//! all that is bounded. Its initialisers, its memory and its threads are not, a crash of it is ours,
//! and it can do whatever we can: it is loaded only by digest and with `trust = "native-full"`. The bytes that were hashed are the ones that are
//! loaded, from a sealed memfd. A library is never closed, nor is its descriptor: the dynamic
//! linker knows a library by its path, and `/proc/self/fd/N` must not come to mean another one.

use std::ffi::c_void;
use std::fs::File;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags};
use scoped_tls_hkt::scoped_thread_local;
use serde::Serialize;
use serde::de::DeserializeOwned;

use wharf_model::Digest;

use crate::Fault;
use crate::contract::WIT;
use crate::imports::Contract;
use crate::native::{self, Status};
use crate::session::{BYTES, Session};

scoped_thread_local!(static DOOR: Door);

const ABI: u32 = 1;
/// Bytes of a call's stack: as many as a program's first thread has.
const STACK: usize = 8 << 20;

/// What the thread of a call says to the one that made it.
enum Said {
    Question(String, Vec<u8>),
    Done(Result<Vec<u8>, Fault>),
}

/// Through which a library asks, on the thread of its call.
struct Door {
    said: Sender<Said>,
    replies: Receiver<(Status, Vec<u8>)>,
}

impl Door {
    fn ask(&self, function: String, input: Vec<u8>) -> (Status, Vec<u8>) {
        let gone = || (Status::Unavailable, b"the call was given up".to_vec());
        if self.said.send(Said::Question(function, input)).is_err() {
            return gone();
        }
        self.replies.recv().unwrap_or_else(|_| gone())
    }
}
#[repr(C)]
#[derive(Clone, Copy)]
struct Bytes {
    data: *const u8,
    len: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    data: *mut u8,
    len: usize,
    capacity: usize,
}

type Entry = unsafe extern "C" fn() -> *const PluginTable;
type Call = unsafe extern "C" fn(Bytes, Bytes, *const HostTable, *mut Buffer) -> i32;
type Free = unsafe extern "C" fn(Buffer);

#[repr(C)]
#[derive(Clone, Copy)]
struct Head {
    abi: u32,
    size: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PluginTable {
    head: Head,
    wit: Bytes,
    world: Bytes,
    call: Option<Call>,
    free: Option<Free>,
}

#[repr(C)]
struct HostTable {
    head: Head,
    state: *mut c_void,
    call: unsafe extern "C" fn(*mut c_void, Bytes, Bytes, *mut Buffer) -> i32,
    free: unsafe extern "C" fn(Buffer),
}

/// A loaded library.
pub(crate) struct Library {
    functions: Functions,
    /// A call of it was given up, and its thread may still be inside.
    stuck: AtomicBool,
}

#[derive(Clone, Copy)]
struct Functions {
    call: Call,
    free: Free,
}

impl Library {
    /// Loads `bytes`, which have been hashed, and checks that they fulfil the world's contract.
    pub(crate) fn open<W: Contract>(name: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let table = load(name, bytes).map_err(|reason| Fault::Native { reason })?;
        let world = text(table.world).map_err(|reason| Fault::Native { reason })?;
        if world != format!("{}-plugin", W::WORLD) {
            return Err(Fault::World { expected: W::WORLD, exports: vec![format!("wharf:plugin/{world}")] });
        }
        if !is_ours(&text(table.wit).map_err(|reason| Fault::Native { reason })?) {
            return Err(Fault::Native { reason: "it was built for another text of the contract".into() });
        }
        match (table.call, table.free) {
            (Some(call), Some(free)) => {
                Ok(Self { functions: Functions { call, free }, stuck: AtomicBool::new(false) })
            }
            (None, _) | (_, None) => {
                Err(Fault::Native { reason: "a function of its table is missing".into() })
            }
        }
    }

    /// Calls one function of the contract, for `limit` at most.
    pub(crate) fn call<I: Serialize, R: DeserializeOwned>(
        &self,
        mut session: Session,
        limit: Duration,
        function: &str,
        input: &I,
    ) -> (Session, Result<R, Fault>) {
        let result = postcard::to_allocvec(input)
            .map_err(|error| Fault::Native { reason: error.to_string() })
            .and_then(|input| self.watch(&mut session, limit, function, input))
            .and_then(|output| {
                let answer = postcard::from_bytes(&output);
                answer.map_err(|error| Fault::Answer { what: error.to_string() })
            });
        (session, result)
    }

    /// Answers what the library asks until it is done, or its time is over.
    fn watch(
        &self,
        session: &mut Session,
        limit: Duration,
        function: &str,
        input: Vec<u8>,
    ) -> Result<Vec<u8>, Fault> {
        let native = |reason: &str| Fault::Native { reason: reason.into() };
        if self.stuck.load(Ordering::Acquire) {
            return Err(native("an earlier call of it did not return, and can not be stopped"));
        }
        let (said, heard) = channel();
        let (reply, replies) = channel();
        self.start(Door { said, replies }, function.to_owned(), input)?;
        let mut left = limit;
        loop {
            let since = Instant::now();
            let heard = heard.recv_timeout(left);
            left = left.saturating_sub(since.elapsed());
            match heard {
                Ok(Said::Question(function, input)) => {
                    let _given_up = reply.send(native::answer(session, &function, &input));
                }
                Ok(Said::Done(result)) => return result,
                Err(RecvTimeoutError::Timeout) => {
                    self.stuck.store(true, Ordering::Release);
                    return Err(Fault::Time { limit });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(native("its thread ended")),
            }
        }
    }

    fn start(&self, door: Door, function: String, input: Vec<u8>) -> Result<(), Fault> {
        let (functions, said) = (self.functions, door.said.clone());
        let work = move || {
            let result = DOOR.set(&door, || functions.call(&function, &input));
            let _given_up = said.send(Said::Done(result));
        };
        let thread = thread::Builder::new().name("native plugin".into()).stack_size(STACK).spawn(work);
        thread.map(drop).map_err(|error| Fault::Native { reason: error.to_string() })
    }
}

impl Functions {
    fn call(&self, function: &str, input: &[u8]) -> Result<Vec<u8>, Fault> {
        let host = HostTable {
            head: Head { abi: ABI, size: size_of_u32::<HostTable>() },
            state: std::ptr::null_mut(),
            call: answer,
            free: free_ours,
        };
        let mut output = Buffer { data: std::ptr::null_mut(), len: 0, capacity: 0 };
        let (function, input) = (borrow(function.as_bytes()), borrow(input));
        // SAFETY: the pointer comes from the table of a library whose ABI number, size and contract
        // were checked and which is never unloaded; every argument lives until the call returns.
        let code = unsafe { (self.call)(function, input, &raw const host, &raw mut output) };
        let taken = self.take(output)?;
        match code {
            0 => Ok(taken),
            1 => {
                let reason = String::from_utf8_lossy(&taken).into_owned();
                Err(Fault::Trap { reason: crate::convert::shown(reason), functions: Vec::new() })
            }
            code => {
                let said = String::from_utf8_lossy(&taken).into_owned();
                Err(Fault::Native { reason: format!("it returned {code}: {}", crate::convert::shown(said)) })
            }
        }
    }

    /// Copies what the library made, and lets it free its own.
    fn take(&self, output: Buffer) -> Result<Vec<u8>, Fault> {
        if output.data.is_null() {
            return Ok(Vec::new());
        }
        let copy = if output.len > BYTES {
            Err(Fault::TooLarge { what: format!("{} bytes in one call", output.len) })
        } else {
            Ok(copy(Bytes { data: output.data, len: output.len }))
        };
        // SAFETY: `output` was made by this library's `call` and is given back exactly once; the
        // copy above no longer refers to it.
        unsafe { (self.free)(output) };
        copy
    }
}

/// Loads the library for good and returns its table, checked as far as its head says.
fn load(name: &str, bytes: &[u8]) -> Result<PluginTable, String> {
    let file = sealed(name, bytes).map_err(|error| error.to_string())?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: running the library's initialisers is what the user allowed with `native-full`; the
    // bytes have the digest the user wrote, and the seals keep them.
    let library = unsafe { libloading::Library::new(&path) }.map_err(|error| error.to_string())?;
    // Never closed: functions of it are called as long as the process lives.
    let library = ManuallyDrop::new(library);
    let _open_for_ever = ManuallyDrop::new(file);
    // SAFETY: this symbol has this type by the contract in the module's documentation.
    let entry = unsafe { library.get::<Entry>(b"wharf_plugin_v1\0") };
    let entry = entry.map_err(|error| error.to_string())?;
    // SAFETY: the function takes nothing and returns a pointer to static storage.
    let table = unsafe { entry() };
    if table.is_null() || !table.is_aligned() {
        return Err("it has no table".into());
    }
    // SAFETY: not null and aligned; every version of the table begins with these two numbers.
    let head = unsafe { table.cast::<Head>().read() };
    if head.abi != ABI {
        return Err(format!(
            "it has version {} of the binary interface, and this is version {ABI}",
            head.abi
        ));
    }
    if head.size < size_of_u32::<PluginTable>() {
        return Err(format!("its table has {} bytes only", head.size));
    }
    // SAFETY: the head says that the table is of this version and at least this long.
    Ok(unsafe { table.read() })
}

/// A file in memory that can not be changed any more.
fn sealed(name: &str, bytes: &[u8]) -> std::io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags)?);
    file.write_all(bytes)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

/// What a library calls to ask us something.
unsafe extern "C" fn answer(_: *mut c_void, function: Bytes, input: Bytes, output: *mut Buffer) -> i32 {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let function = text(function).unwrap_or_default();
        if input.len > BYTES {
            return (Status::BadInput, b"the input is too large".to_vec());
        }
        let input = copy(input);
        if DOOR.is_set() {
            DOOR.with(|door| door.ask(function, input))
        } else {
            (Status::Unavailable, b"only during a call, and on its thread".to_vec())
        }
    }));
    let (status, bytes) = answered.unwrap_or_else(|_| (Status::Panicked, b"the host panicked".to_vec()));
    if !output.is_null() {
        // SAFETY: not null, and by the contract it points to a `wharf_buffer` of the caller's.
        unsafe { output.write(give(bytes)) };
    }
    status as i32
}

/// Hands bytes over; they come back to [`free_ours`].
fn give(bytes: Vec<u8>) -> Buffer {
    let mut bytes = ManuallyDrop::new(bytes);
    Buffer { data: bytes.as_mut_ptr(), len: bytes.len(), capacity: bytes.capacity() }
}

unsafe extern "C" fn free_ours(buffer: Buffer) {
    if !buffer.data.is_null() {
        // SAFETY: by the contract only what `give` made comes here, once and unchanged.
        drop(unsafe { Vec::from_raw_parts(buffer.data, buffer.len, buffer.capacity) });
    }
}

fn borrow(bytes: &[u8]) -> Bytes {
    Bytes { data: bytes.as_ptr(), len: bytes.len() }
}

fn copy(bytes: Bytes) -> Vec<u8> {
    if bytes.data.is_null() || bytes.len == 0 {
        return Vec::new();
    }
    // SAFETY: not null; by the contract it points to `len` bytes that stay until the call returns.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }.to_vec()
}

fn text(bytes: Bytes) -> Result<String, String> {
    if bytes.len > 1 << 20 {
        return Err("a text of its table is too long".into());
    }
    String::from_utf8(copy(bytes)).map_err(|_| "a text of its table is not UTF-8".into())
}

/// Texts of this version of the contract from before it knew one import more, or one function more of an
/// import, each by the digest of what [`plain`] leaves of it. A library that was built from one asks and
/// answers as ever.
const EARLIER: [&str; 3] = [
    "sha256:fced8a21b2a1090c6d9e4b5e52224011e79407065b1a18c23497bb3bc91e74b3",
    "sha256:e11235f7d2293bbfcce92c7f6fab66f263b6a0857cbb1ea85932143421996a2c",
    "sha256:e47e41eef0a35f4c01b45a45255be3bb256cbb3e8ec2a2753f4dad4246491357",
];

/// Whether a library that was built from this text of the contract understands us.
fn is_ours(contract: &str) -> bool {
    let lines = plain(contract);
    lines == plain(WIT) || EARLIER.contains(&Digest::of(lines.join("\n")).to_string().as_str())
}

/// The contract without comments and blanks.
fn plain(contract: &str) -> Vec<&str> {
    contract.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).collect()
}

#[allow(clippy::cast_possible_truncation, reason = "the tables have a few dozen bytes")]
const fn size_of_u32<T>() -> u32 {
    size_of::<T>() as u32
}
