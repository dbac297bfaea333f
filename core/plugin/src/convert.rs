//! The contract's types to the engine's, and back.
//!
//! Together with its submodules the only place that sees both. What comes from a plugin is
//! checked here once and believed everywhere else: digests, addresses and keywords are parsed;
//! paths, names and numbers are in range; an op refers to earlier ones only; nothing is longer
//! than [`TEXT`] or more than [`ITEMS`].

mod about;
mod build;
mod context;
mod device;
mod hook;
mod network;
mod storage;

use std::fmt::Display;
use std::str::FromStr;

use wharf_model::network::Protocol;
use wharf_model::{
    Diagnostic, ExtensionOp, Failure, FailureKind, Platform, Severity, Span, StateChange, Value,
};

use crate::Fault;
use crate::bindings::types as wit;

/// Bytes of one string at most.
const TEXT: usize = 1 << 20;
/// Items of one list at most; ops of a plan among them.
const ITEMS: usize = 65_536;

/// Why an answer can not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(unreachable_pub, reason = "the generated types are `pub`, and this is an associated type of theirs")]
pub enum Nonsense {
    /// A part of it is too large.
    TooLarge(String),
    /// A part of it is wrong.
    Wrong(String),
}

impl From<Nonsense> for Fault {
    fn from(nonsense: Nonsense) -> Self {
        match nonsense {
            Nonsense::TooLarge(what) => Self::TooLarge { what },
            Nonsense::Wrong(what) => Self::Answer { what },
        }
    }
}

type Checked<T> = Result<T, Nonsense>;

fn wrong<T>(what: impl Into<String>) -> Checked<T> {
    Err(Nonsense::Wrong(what.into()))
}

/// A string of bearable length without NUL.
fn text(what: &str, text: String) -> Checked<String> {
    if text.len() > TEXT {
        return Err(Nonsense::TooLarge(format!(
            "{what} has {} bytes, at most {TEXT} are allowed",
            text.len()
        )));
    }
    if text.contains('\0') {
        return wrong(format!("{what} contains a NUL byte"));
    }
    Ok(text)
}

/// A string that is not empty either.
fn name(what: &str, name: String) -> Checked<String> {
    if name.is_empty() { wrong(format!("{what} is empty")) } else { text(what, name) }
}

/// A name with which something is looked up in an environment.
fn variable(what: &str, variable: String) -> Checked<String> {
    if variable.contains('=') {
        return wrong(format!("{what} `{variable}` contains `=`"));
    }
    name(what, variable)
}

fn mode(mode: u32) -> Checked<u32> {
    if mode > 0o7777 { wrong(format!("{mode:#o} are not permission bits")) } else { Ok(mode) }
}

fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Checked<T> {
    text.parse().map_err(|error: T::Err| {
        let text: String = text.chars().take(100).collect();
        Nonsense::Wrong(format!("{what} `{text}`: {error}"))
    })
}

fn option<A, B>(value: Option<A>, convert: impl FnOnce(A) -> Checked<B>) -> Checked<Option<B>> {
    value.map(convert).transpose()
}

fn each<A, B>(what: &str, items: Vec<A>, convert: impl FnMut(A) -> Checked<B>) -> Checked<Vec<B>> {
    if items.len() > ITEMS {
        return Err(Nonsense::TooLarge(format!("{} {what}, at most {ITEMS} are allowed", items.len())));
    }
    items.into_iter().map(convert).collect()
}

fn texts(what: &str, items: Vec<String>) -> Checked<Vec<String>> {
    each(what, items, |item| text(what, item))
}

fn variables(items: Vec<(String, String)>) -> Checked<Vec<(String, String)>> {
    each("variables", items, |(key, value)| Ok((variable("variable", key)?, text("value", value)?)))
}

/// Diagnostics are shown, not believed: cut rather than refused.
pub(crate) fn diagnostics(said: Vec<wit::Diagnostic>) -> Vec<Diagnostic> {
    said.into_iter().take(1000).map(diagnostic).collect()
}

pub(crate) fn diagnostic(said: wit::Diagnostic) -> Diagnostic {
    Diagnostic {
        severity: match said.severity {
            wit::Severity::Error => Severity::Error,
            wit::Severity::Warning => Severity::Warning,
            wit::Severity::Info => Severity::Info,
            wit::Severity::Hint => Severity::Hint,
        },
        code: shown(said.code),
        message: shown(said.message),
        span: said.span.map(|span| Span {
            file: shown(span.file),
            line: span.line,
            column: span.column,
            end_line: span.end_line,
            end_column: span.end_column,
        }),
        help: said.help.map(shown),
        url: said.url.map(shown),
    }
}

/// Text of a plugin on its way to a terminal: of bearable length, without control characters.
pub(crate) fn shown(text: String) -> String {
    let visible = |letter: &char| !letter.is_control() || *letter == '\n' || *letter == '\t';
    if text.len() <= 8192 && text.chars().all(|letter| visible(&letter)) {
        return text;
    }
    text.chars().filter(visible).take(8192).collect()
}

pub(crate) fn failure(said: wit::Failure) -> Failure {
    let kind = match said.kind {
        wit::FailureKind::InvalidInput => FailureKind::InvalidInput,
        wit::FailureKind::Denied => FailureKind::Denied,
        wit::FailureKind::NotFound => FailureKind::NotFound,
        wit::FailureKind::Unsupported => FailureKind::Unsupported,
        wit::FailureKind::Conflict => FailureKind::Conflict,
        wit::FailureKind::Transient => FailureKind::Transient,
        wit::FailureKind::Other => FailureKind::Other,
    };
    Failure { kind, diagnostics: diagnostics(said.diagnostics) }
}

pub(crate) fn protocol(raw: wit::Protocol) -> Protocol {
    match raw {
        wit::Protocol::Tcp => Protocol::Tcp,
        wit::Protocol::Udp => Protocol::Udp,
        wit::Protocol::Sctp => Protocol::Sctp,
    }
}

impl From<Protocol> for wit::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
        }
    }
}

impl TryFrom<wit::Platform> for Platform {
    type Error = Nonsense;

    fn try_from(raw: wit::Platform) -> Checked<Self> {
        Ok(Self {
            os: name("os", raw.os)?,
            architecture: name("architecture", raw.architecture)?,
            variant: option(raw.variant, |variant| text("variant", variant))?,
        })
    }
}

impl TryFrom<wit::ExtensionOp> for ExtensionOp {
    type Error = Nonsense;

    fn try_from(raw: wit::ExtensionOp) -> Checked<Self> {
        Ok(Self { name: name("extension", raw.name)?, payload: raw.payload })
    }
}

impl TryFrom<wit::StateChange> for StateChange {
    type Error = Nonsense;

    fn try_from(raw: wit::StateChange) -> Checked<Self> {
        Ok(match raw {
            wit::StateChange::Put((key, value)) => Self::Put(name("state key", key)?, value),
            wit::StateChange::Delete(key) => Self::Delete(name("state key", key)?),
        })
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::InvalidInput => wit::FailureKind::InvalidInput,
            FailureKind::Denied => wit::FailureKind::Denied,
            FailureKind::NotFound => wit::FailureKind::NotFound,
            FailureKind::Unsupported => wit::FailureKind::Unsupported,
            FailureKind::Conflict => wit::FailureKind::Conflict,
            FailureKind::Transient => wit::FailureKind::Transient,
            FailureKind::Other => wit::FailureKind::Other,
        };
        Self { kind, diagnostics: failure.diagnostics.into_iter().map(Into::into).collect() }
    }
}

impl From<Diagnostic> for wit::Diagnostic {
    fn from(said: Diagnostic) -> Self {
        Self {
            severity: match said.severity {
                Severity::Error => wit::Severity::Error,
                Severity::Warning => wit::Severity::Warning,
                Severity::Info => wit::Severity::Info,
                Severity::Hint => wit::Severity::Hint,
            },
            code: said.code,
            message: said.message,
            span: said.span.map(Into::into),
            help: said.help,
            url: said.url,
        }
    }
}

impl From<Span> for wit::Span {
    fn from(span: Span) -> Self {
        Self {
            file: span.file,
            line: span.line,
            column: span.column,
            end_line: span.end_line,
            end_column: span.end_column,
        }
    }
}

impl From<Platform> for wit::Platform {
    fn from(platform: Platform) -> Self {
        Self { os: platform.os, architecture: platform.architecture, variant: platform.variant }
    }
}

impl From<Value> for wit::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Text(text),
            Value::Integer(number) => Self::Integer(number),
            Value::Boolean(value) => Self::Boolean(value),
            Value::Texts(texts) => Self::Texts(texts),
        }
    }
}

/// A platform a plugin asks for: looked up, so there is nothing to check.
pub(crate) fn wanted_platform(raw: Option<wit::Platform>) -> Option<Platform> {
    raw.map(|raw| Platform { os: raw.os, architecture: raw.architecture, variant: raw.variant })
}

/// The plugin's own table.
pub(crate) fn settings(settings: &[(String, Value)]) -> wit::Settings {
    settings.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect()
}

pub(crate) use build::{invocation, keywords};
pub(crate) use device::add_devices;
pub(crate) use hook::{adjustments, event, subscription};
pub(crate) use network::{attachment, network, network_facts};
pub(crate) use storage::{object, storage_facts};

#[cfg(test)]
mod tests;
