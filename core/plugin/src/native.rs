//! What the host answers to a native library: the imports of the contract, by name, in postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::{build_context, device_types, image_signatures, remote, types};
use crate::convert;
use crate::kind::Root;
use crate::session::{Refused, Session};

/// How a call across the border ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Done = 0,
    Panicked = 1,
    Unknown = 2,
    BadInput = 3,
    Unavailable = 4,
}

type Reply = Result<Vec<u8>, (Status, String)>;

/// Answers one question of a library.
pub(crate) fn answer(session: &mut Session, function: &str, input: &[u8]) -> (Status, Vec<u8>) {
    let reply = match function.split_once('.') {
        Some(("host", function)) => host(session, function, input),
        Some(("context", function)) => context(session, function, input),
        Some(("view", function)) => view(session, function, input),
        Some(("files", function)) => image_files(session, function, input),
        Some(("signatures", function)) => signatures(session, function, input),
        Some(("devices", function)) => devices(session, function, input),
        Some(("remote", "call")) => decode(input).and_then(|input| call_server(session, input)),
        Some(_) | None => unknown(function),
    };
    match reply {
        Ok(bytes) => (Status::Done, bytes),
        Err((status, message)) => (status, message.into_bytes()),
    }
}

fn host(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "features" => reply(&crate::authorize::FEATURES),
        "settings-of-plugin" => reply(&convert::settings(session.settings().map_err(refused)?)),
        "log" => {
            let (level, message): (String, String) = decode(input)?;
            reply(&session.log(&level, message).map_err(refused)?)
        }
        "report" => {
            let (said,): (types::Diagnostic,) = decode(input)?;
            reply(&session.report(convert::diagnostic(said)).map_err(refused)?)
        }
        _ => unknown(function),
    }
}

fn context(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "target-platform" => {
            let platform = session.context(0, |context| context.target_platform()).map_err(refused)?;
            reply(&types::Platform::from(platform))
        }
        "arg" => {
            let (name,): (String,) = decode(input)?;
            reply(&session.context(name.len(), |context| context.arg(&name)).map_err(refused)?)
        }
        "env" => {
            let (name,): (String,) = decode(input)?;
            reply(&session.context(name.len(), |context| context.env(&name)).map_err(refused)?)
        }
        "working-dir" => reply(&session.context(0, |context| context.working_dir()).map_err(refused)?),
        "user" => reply(&session.context(0, |context| context.user()).map_err(refused)?),
        "shell" => reply(&session.context(0, |context| context.shell()).map_err(refused)?),
        "stat" | "read" | "glob" => files(session, function, input),
        "resolve-image" => {
            let (reference, platform): (String, Option<types::Platform>) = decode(input)?;
            let platform = convert::wanted_platform(platform);
            let answer = session.resolve_image(&reference, platform.as_ref()).map_err(refused)?;
            reply(&answer.map(build_context::ResolvedImage::from).map_err(types::Failure::from))
        }
        _ => unknown(function),
    }
}

fn files(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "stat" => {
            let (root, path): (build_context::Root, String) = decode(input)?;
            let answer = session.stat(&Root::from(root), &path).map_err(refused)?;
            let answer = answer.map(|entry| entry.map(types::Entry::from));
            reply(&answer.map_err(types::Failure::from))
        }
        "read" => {
            let (root, path, limit): (build_context::Root, String, u64) = decode(input)?;
            let answer = session.read(&Root::from(root), &path, limit).map_err(refused)?;
            reply(&answer.map_err(types::Failure::from))
        }
        "glob" => {
            let (root, patterns, limit): (build_context::Root, Vec<String>, u32) = decode(input)?;
            let answer = session.glob(&Root::from(root), &patterns, limit).map_err(refused)?;
            let convert = |entries: Vec<_>| entries.into_iter().map(Into::into).collect();
            let answer: Result<Vec<types::Entry>, _> = answer.map(convert);
            reply(&answer.map_err(types::Failure::from))
        }
        _ => unknown(function),
    }
}

fn image_files(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "stat" => {
            let (path,): (String,) = decode(input)?;
            let answer = session.image_stat(&path).map_err(refused)?;
            reply(&answer.map(|entry| entry.map(types::Entry::from)).map_err(types::Failure::from))
        }
        "read" => {
            let (path, limit): (String, u64) = decode(input)?;
            reply(&session.image_read(&path, limit).map_err(refused)?.map_err(types::Failure::from))
        }
        "glob" => {
            let (patterns, limit): (Vec<String>, u32) = decode(input)?;
            let answer = session.image_glob(&patterns, limit).map_err(refused)?;
            let convert = |entries: Vec<_>| entries.into_iter().map(Into::into).collect();
            let answer: Result<Vec<types::Entry>, _> = answer.map(convert);
            reply(&answer.map_err(types::Failure::from))
        }
        _ => unknown(function),
    }
}

fn signatures(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "asked-at" => reply(&session.asked_at().map_err(refused)?.map_err(types::Failure::from)),
        "digests" => reply(&session.image_digests().map_err(refused)?.map_err(types::Failure::from)),
        "about" => {
            let (subject,): (String,) = decode(input)?;
            let answer = session.image_signatures(&subject).map_err(refused)?;
            let convert = |found: Vec<_>| found.into_iter().map(Into::into).collect();
            let answer: Result<Vec<image_signatures::Signature>, _> = answer.map(convert);
            reply(&answer.map_err(types::Failure::from))
        }
        "site-file" => {
            let (name,): (String,) = decode(input)?;
            reply(&session.site_file(&name).map_err(refused)?.map_err(types::Failure::from))
        }
        _ => unknown(function),
    }
}

fn devices(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "add" => {
            let (device,): (device_types::Device,) = decode(input)?;
            reply(&session.add_device(device).map_err(refused)?)
        }
        "of-op" => reply(&session.op_devices().map_err(refused)?),
        _ => unknown(function),
    }
}

fn call_server(session: &mut Session, (token, request): (String, remote::Request)) -> Reply {
    let answer = session.remote(&token, request.into()).map_err(refused)?;
    reply(&answer.map(remote::Response::from).map_err(types::Failure::from))
}

fn view(session: &mut Session, function: &str, input: &[u8]) -> Reply {
    match function {
        "get" => {
            let (key,): (String,) = decode(input)?;
            reply(&session.state(key.len(), |view| view.get(&key)).map_err(refused)?)
        }
        "keys" => {
            let (prefix, limit): (String, u32) = decode(input)?;
            reply(&session.state(prefix.len(), |view| view.keys(&prefix, limit)).map_err(refused)?)
        }
        _ => unknown(function),
    }
}

fn reply<T: Serialize + ?Sized>(answer: &T) -> Reply {
    postcard::to_allocvec(answer).map_err(|error| (Status::Panicked, error.to_string()))
}

fn decode<T: DeserializeOwned>(input: &[u8]) -> Result<T, (Status, String)> {
    postcard::from_bytes(input).map_err(|error| (Status::BadInput, error.to_string()))
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn refused(refused: Refused) -> (Status, String) {
    (Status::Unavailable, refused.to_string())
}

fn unknown(function: &str) -> Reply {
    Err((Status::Unknown, function.to_owned()))
}
