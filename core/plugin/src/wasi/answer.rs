//! What each function of WASI is answered with.

use wasmtime::component::{ResourceDynamic, Val};
use wasmtime::{Result, StoreContextMut};

use super::{Wasi, kind};
use crate::imports::Caller;
use crate::session::{BYTES, Session};

/// The representation of standard error, as an output stream.
const STDERR: u32 = 2;
/// And of everything else: there is only one of a kind.
const ONLY: u32 = 1;
/// How much a stream takes at once.
const ROOM: u64 = 64 << 10;

/// An answer that takes neither types nor names any more.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    Nothing,
    EmptyList,
    Absent,
    Yes,
    Zero,
    One,
    EmptyText,
    /// `ok`, with nothing in it.
    Done,
    /// `err(closed)`, of a stream.
    Closed,
    /// `err(access-denied)`, of a socket.
    Denied,
    /// A new handle to the resource of that name.
    Handle(&'static str, u32),
    /// The list of pollables: all are ready.
    AllReady,
    /// Seconds and nanoseconds.
    WallClock,
    WallClockStep,
    RandomBytes,
    RandomNumber,
    RandomPair,
    Room,
    Write,
    WriteZeroes,
}

impl Answer {
    /// The answer to a function; `None` when it ends the call.
    pub(super) fn of(interface: &str, function: &str) -> Option<Self> {
        match interface.split_once('/')? {
            ("io", interface) => Self::of_io(interface, function),
            ("cli", interface) => Self::of_cli(interface, function),
            ("clocks", interface) => Self::of_clocks(interface, function),
            ("random", _) => Self::of_random(function),
            ("sockets", _) => Self::of_sockets(function),
            ("filesystem", _) => match function {
                "get-directories" => Some(Self::EmptyList),
                "filesystem-error-code" => Some(Self::Absent),
                _ => None,
            },
            _ => None,
        }
    }

    fn of_cli(interface: &str, function: &str) -> Option<Self> {
        Some(match (interface, function) {
            ("environment", "get-environment" | "get-arguments") => Self::EmptyList,
            ("environment", "initial-cwd") => Self::Absent,
            ("stdin", "get-stdin") => Self::Handle("input-stream", ONLY),
            ("stdout", "get-stdout") => Self::Handle("output-stream", ONLY),
            ("stderr", "get-stderr") => Self::Handle("output-stream", STDERR),
            ("terminal-stdin", "get-terminal-stdin")
            | ("terminal-stdout", "get-terminal-stdout")
            | ("terminal-stderr", "get-terminal-stderr") => Self::Absent,
            _ => return None,
        })
    }

    fn of_clocks(interface: &str, function: &str) -> Option<Self> {
        Some(match (interface, function) {
            ("monotonic-clock", "now") => Self::Zero,
            ("monotonic-clock", "resolution") => Self::One,
            ("monotonic-clock", "subscribe-instant" | "subscribe-duration") => Self::Handle("pollable", ONLY),
            ("wall-clock", "now") => Self::WallClock,
            ("wall-clock", "resolution") => Self::WallClockStep,
            _ => return None,
        })
    }

    fn of_random(function: &str) -> Option<Self> {
        Some(match function {
            "get-random-bytes" | "get-insecure-random-bytes" => Self::RandomBytes,
            "get-random-u64" | "get-insecure-random-u64" => Self::RandomNumber,
            "insecure-seed" | "get-insecure-seed" => Self::RandomPair,
            _ => return None,
        })
    }

    fn of_sockets(function: &str) -> Option<Self> {
        Some(match function {
            "instance-network" => Self::Handle("network", ONLY),
            "create-tcp-socket" | "create-udp-socket" | "resolve-addresses" => Self::Denied,
            _ => return None,
        })
    }

    fn of_io(interface: &str, function: &str) -> Option<Self> {
        let method = function.strip_prefix("[method]").unwrap_or(function);
        Some(match (interface, method) {
            ("error", "error.to-debug-string") => Self::EmptyText,
            ("poll", "pollable.ready") => Self::Yes,
            ("poll", "pollable.block") => Self::Nothing,
            ("poll", "poll") => Self::AllReady,
            ("streams", "input-stream.subscribe" | "output-stream.subscribe") => {
                Self::Handle("pollable", ONLY)
            }
            ("streams", "output-stream.check-write") => Self::Room,
            ("streams", "output-stream.write" | "output-stream.blocking-write-and-flush") => Self::Write,
            ("streams", "output-stream.write-zeroes" | "output-stream.blocking-write-zeroes-and-flush") => {
                Self::WriteZeroes
            }
            ("streams", "output-stream.flush" | "output-stream.blocking-flush") => Self::Done,
            (
                "streams",
                "input-stream.read"
                | "input-stream.blocking-read"
                | "input-stream.skip"
                | "input-stream.blocking-skip"
                | "output-stream.splice"
                | "output-stream.blocking-splice",
            ) => Self::Closed,
            _ => return None,
        })
    }

    /// Gives it. Handles that were lent with the question are given back first.
    pub(super) fn give(self, store: &mut StoreContextMut<'_, Caller>, asked: &[Val]) -> Result<Option<Val>> {
        let handle = release(store, asked)?;
        let Caller { session, wasi, .. } = store.data_mut();
        Ok(Some(match self {
            Self::Nothing => return Ok(None),
            Self::EmptyList => Val::List(vec![]),
            Self::Absent => Val::Option(None),
            Self::Yes => Val::Bool(true),
            Self::Zero => Val::U64(0),
            Self::One => Val::U64(1),
            Self::EmptyText => Val::String(String::new()),
            Self::Done => ok(None),
            Self::Closed => err(Val::Variant("closed".into(), None)),
            Self::Denied => err(Val::Enum("access-denied".into())),
            Self::Handle(resource, which) => {
                Val::Resource(ResourceDynamic::new_own(which, kind(resource)).try_into_resource_any(store)?)
            }
            Self::AllReady => all_ready(asked),
            Self::WallClock => datetime(epoch(session)?),
            Self::WallClockStep => datetime(1),
            Self::RandomBytes => random_bytes(session, wasi, asked)?,
            Self::RandomNumber => Val::U64(wasi.random()),
            Self::RandomPair => Val::Tuple(vec![Val::U64(wasi.random()), Val::U64(wasi.random())]),
            Self::Room => ok(Some(Val::U64(ROOM))),
            Self::Write => {
                let bytes =
                    asked.iter().find_map(|it| if let Val::List(all) = it { Some(all) } else { None });
                let bytes = bytes.into_iter().flatten();
                write(
                    session,
                    wasi,
                    handle,
                    bytes.filter_map(|it| if let Val::U8(byte) = it { Some(*byte) } else { None }),
                )?
            }
            Self::WriteZeroes => {
                let length = length(asked).min(ROOM);
                write(session, wasi, handle, (0..length).map(|_| 0))?
            }
        }))
    }
}

/// The function is not there.
pub(super) fn absent(function: &str) -> wasmtime::Error {
    wasmtime::Error::msg(match function {
        "cli/exit.exit" | "cli/exit.exit-with-code" => "it exits, which would end the engine".to_owned(),
        _ => format!("wasi:{function} is not for plugins"),
    })
}

fn ok(value: Option<Val>) -> Val {
    Val::Result(Ok(value.map(Box::new)))
}

fn err(value: Val) -> Val {
    Val::Result(Err(Some(Box::new(value))))
}

/// Gives borrowed handles back, as every function must; tells which resource was first.
fn release(store: &mut StoreContextMut<'_, Caller>, asked: &[Val]) -> Result<u32> {
    let mut first = 0;
    for value in asked {
        let one = std::slice::from_ref(value);
        for value in if let Val::List(all) = value { all.as_slice() } else { one } {
            if let Val::Resource(handle) = value {
                let resource = ResourceDynamic::try_from_resource_any(*handle, &mut *store)?;
                first = if first == 0 { resource.rep() } else { first };
            }
        }
    }
    Ok(first)
}

/// `SOURCE_DATE_EPOCH`, asked for as a plugin would ask; 0 where there are no build arguments.
fn epoch(session: &mut Session) -> Result<u64> {
    if !Session::has_context() {
        return Ok(0);
    }
    let name = "SOURCE_DATE_EPOCH";
    let text = session.context(name.len(), |context| context.arg(name))?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

fn datetime(seconds: u64) -> Val {
    Val::Record(vec![("seconds".into(), Val::U64(seconds)), ("nanoseconds".into(), Val::U32(0))])
}

fn all_ready(asked: &[Val]) -> Val {
    let count = if let Some(Val::List(all)) = asked.first() { all.len() } else { 0 };
    Val::List((0..u32::try_from(count).unwrap_or(0)).map(Val::U32).collect())
}

fn length(asked: &[Val]) -> u64 {
    asked.iter().find_map(|it| if let Val::U64(length) = it { Some(*length) } else { None }).unwrap_or(0)
}

fn random_bytes(session: &mut Session, wasi: &mut Wasi, asked: &[Val]) -> Result<Val> {
    let length = usize::try_from(length(asked)).unwrap_or(usize::MAX);
    if length > BYTES / 16 {
        return Err(wasmtime::Error::msg(format!("wants {length} random bytes at once")));
    }
    session.count(length)?;
    let bytes = std::iter::repeat_with(|| wasi.random().to_le_bytes()).flatten();
    Ok(Val::List(bytes.take(length).map(Val::U8).collect()))
}

fn write(
    session: &mut Session,
    wasi: &mut Wasi,
    handle: u32,
    bytes: impl Iterator<Item = u8>,
) -> Result<Val> {
    let output = if handle == STDERR { &mut wasi.stderr } else { &mut wasi.stdout };
    output.write(session, bytes)?;
    Ok(ok(None))
}
