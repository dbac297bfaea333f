//! Events that a person wrote: only what matters is said, the rest is plain.
//!
//! ```text
//! {"container": {"image": "busybox:latest", "mounts": [{"kind": "bind", "source": "/", "target": "/host", "read-only": false}]}}
//! {"build-op": {"plugin": "run", "instruction": "RUN", "op": {"action": {"exec": {"command": {"shell": "id"}}}}}}
//! ```
//!
//! Names are the contract's. Beside the subject, `changes` says what hooks before this one did.

use std::net::Ipv4Addr;

use serde_json::{Map, Value};
use wharf_model::build::{Action, Command, Copy, Exec, Input, NetAccess, Op, Security};
use wharf_model::hook::{
    ContainerSpec, Event, ExecSpec, ImageTransfer, Moment, NetworkChange, NetworkOp, Subject, VolumeChange,
    VolumeOp,
};
use wharf_model::network::{Port, Protocol};
use wharf_model::{Digest, Keyword};

use super::golden::kebab;

/// Fields whose value is one of several things, which its name tells.
const VARIANTS: [&str; 7] = ["action", "command", "base", "source", "rootfs", "mode", "mounts"];

/// Why a text is not an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventError {
    /// Not JSON.
    #[error("this is not JSON")]
    Json(#[from] serde_json::Error),
    /// No subject, or several.
    #[error("expected one of {}", Moment::ALL.map(Moment::as_str).join(", "))]
    NoSubject,
    /// A field that there is not.
    #[error("{place} has no field `{field}`, only {}", .known.join(", "))]
    Unknown { place: String, field: String, known: Vec<String> },
    /// A value of another type, or something missing.
    #[error("{subject}: {reason}")]
    Value { subject: &'static str, reason: String },
}

/// Reads `event.json`.
pub(crate) fn read(text: &str) -> Result<Event, EventError> {
    let given: Value = serde_json::from_str(text)?;
    let given = given.as_object().ok_or(EventError::NoSubject)?;
    let moment = |name: &str| Moment::ALL.into_iter().find(|moment| moment.as_str() == name);
    let mut subjects = given.iter().filter_map(|(name, value)| Some((moment(name)?, value)));
    let (Some((moment, value)), None) = (subjects.next(), subjects.next()) else {
        return Err(EventError::NoSubject);
    };
    let mut event = serde_json::to_value(plain(moment))?;
    // The model leaves it out where there are none.
    if let Some(exec) = event.pointer_mut("/subject/BuildOp/op/action/Exec").and_then(Value::as_object_mut) {
        exec.insert("devices".into(), Value::Array(Vec::new()));
    }
    let subject = event.get_mut("subject").and_then(Value::as_object_mut);
    for whole in subject.into_iter().flat_map(|subject| subject.values_mut()) {
        merge(whole, value, moment.as_str())?;
    }
    if let (Some(event), Some(changes)) = (event.as_object_mut(), given.get("changes")) {
        event.insert("changes".into(), changes.clone());
    }
    let wrong =
        |error: serde_json::Error| EventError::Value { subject: moment.as_str(), reason: error.to_string() };
    serde_json::from_value(event).map_err(wrong)
}

/// Lays what is given over what is plain.
fn merge(base: &mut Value, given: &Value, place: &str) -> Result<(), EventError> {
    let field = place.rsplit('.').next().unwrap_or_default();
    match (&mut *base, given) {
        (Value::Object(fields), Value::Object(given)) if is_variant(field, fields) => {
            let [(name, value)] = given.iter().collect::<Vec<_>>()[..] else {
                *base = ours(field, &Value::Object(given.clone()));
                return Ok(());
            };
            let same = fields.keys().next().is_some_and(|held| kebab(held) == *name);
            if !same {
                *base =
                    plain_variant(field, name).unwrap_or_else(|| ours(field, &Value::Object(given.clone())));
            }
            match base.as_object_mut().and_then(|fields| fields.values_mut().next()) {
                Some(inner) => merge(inner, value, &format!("{place}.{name}")),
                None => Ok(()),
            }
        }
        (Value::Object(fields), Value::Object(given)) => {
            for (name, value) in given {
                let known: Vec<String> = fields.keys().map(|held| kebab(held)).collect();
                let held = fields.iter_mut().find(|(held, _)| kebab(held) == *name || *held == name);
                let unknown = || EventError::Unknown { place: place.into(), field: name.clone(), known };
                let (_, held) = held.ok_or_else(unknown)?;
                merge(held, value, &format!("{place}.{name}"))?;
            }
            Ok(())
        }
        (base, given) => {
            *base = ours(field, given);
            Ok(())
        }
    }
}

fn is_variant(field: &str, fields: &Map<String, Value>) -> bool {
    VARIANTS.contains(&field) && fields.len() == 1
}

/// In the names of the model's own JSON.
fn ours(field: &str, given: &Value) -> Value {
    match given {
        Value::Object(fields) if is_variant(field, fields) => {
            fields.iter().map(|(name, value)| (pascal(name), ours(name, value))).collect::<Map<_, _>>().into()
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (name.replace('-', "_"), ours(name, value));
            fields.iter().map(field).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(|item| ours(field, item)).collect(),
        Value::String(text) => string(field, text),
        plain => plain.clone(),
    }
}

fn string(field: &str, text: &str) -> Value {
    match field {
        "base" | "rootfs" | "source" if ["stage", "local", "scratch"].contains(&text) => pascal(text).into(),
        "mode" | "bits" => match u32::from_str_radix(text, 8) {
            Ok(bits) => bits.into(),
            Err(_) => text.into(),
        },
        "content" | "payload" => text.as_bytes().to_vec().into(),
        _ => text.into(),
    }
}

fn pascal(word: &str) -> String {
    let part = |part: &str| {
        let (first, rest) = part.split_at(part.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    word.split('-').map(part).collect()
}

/// What an action or a command is like before anything is said of it.
fn plain_variant(field: &str, name: &str) -> Option<Value> {
    let base = Input::Stage;
    let action = match (field, name) {
        ("command", "argv") => return serde_json::to_value(Command::Argv(vec![])).ok(),
        ("command", "script") => return serde_json::to_value(Command::Script(String::new())).ok(),
        ("action", "copy") => Action::Copy(Copy {
            base,
            source: Input::Local,
            paths: vec![".".into()],
            excludes: vec![],
            dest: "/".into(),
            owner: None,
            mode: None,
            unpack: false,
            parents: false,
            link: false,
        }),
        ("action", "write") => {
            Action::Write { base, path: "/file".into(), content: vec![], owner: None, mode: 0o644 }
        }
        ("action", "mkdir") => Action::Mkdir { base, path: "/directory".into(), owner: None, mode: 0o755 },
        ("action", "remove") => Action::Remove { base, path: "/file".into(), missing_ok: false },
        ("action", "symlink") => Action::Symlink { base, target: "file".into(), path: "/link".into() },
        ("action", "image") => Action::Image { reference: "busybox".into(), platform: None },
        ("action", "git") => Action::Git {
            url: "https://example.com/repository.git".into(),
            reference: None,
            checksum: None,
            keep_git_dir: false,
        },
        ("action", "http") => {
            Action::Http { url: "https://example.com/file".into(), checksum: None, filename: "file".into() }
        }
        _ => return None,
    };
    serde_json::to_value(action).ok()
}

/// An event as plain as can be.
pub(crate) fn plain(moment: Moment) -> Event {
    let subject = match moment {
        Moment::BuildOp => {
            Subject::BuildOp { op: plain_op(), plugin: "run".into(), instruction: plain_keyword() }
        }
        Moment::ImageCommit => Subject::ImageCommit { names: vec!["app:1".into()], config: "{}".into() },
        Moment::Container => Subject::Container(plain_container()),
        Moment::Exec => Subject::Exec(ExecSpec {
            container: "0".repeat(64),
            container_name: "app".into(),
            argv: vec!["sh".into()],
            env: vec![],
            working_dir: "/".into(),
            user: String::new(),
            privileged: false,
            tty: false,
        }),
        Moment::Network => Subject::Network(NetworkOp {
            action: NetworkChange::Create,
            name: "app".into(),
            driver: "bridge".into(),
            container: None,
            options: vec![],
        }),
        Moment::Volume => Subject::Volume(VolumeOp {
            action: VolumeChange::Create,
            name: "data".into(),
            driver: "local".into(),
            labels: vec![],
        }),
        Moment::ImagePull => Subject::ImagePull(plain_transfer()),
        Moment::ImagePush => Subject::ImagePush(plain_transfer()),
    };
    Event { subject, changes: vec![] }
}

fn plain_keyword() -> Keyword {
    // A plain word, so there is nothing that could fail.
    "RUN".parse().unwrap_or_else(|_| unreachable!("RUN is a keyword"))
}

fn plain_op() -> Op {
    let exec = Exec {
        base: Input::Stage,
        command: Command::Shell("true".into()),
        env: vec![],
        cwd: None,
        user: None,
        mounts: vec![],
        net: NetAccess::Sandbox,
        security: Security::Sandbox,
        devices: vec![],
    };
    Op { action: Action::Exec(exec), label: "RUN true".into() }
}

fn plain_container() -> ContainerSpec {
    ContainerSpec {
        id: "0".repeat(64),
        name: "app".into(),
        image: "app:1".into(),
        image_id: Digest::of("app:1"),
        argv: vec!["app".into()],
        env: vec![],
        working_dir: "/".into(),
        user: String::new(),
        mounts: vec![],
        network: "bridge".into(),
        ports: vec![],
        capabilities: vec![],
        annotations: vec![],
        labels: vec![],
        privileged: false,
        details: "{}".into(),
    }
}

fn plain_transfer() -> ImageTransfer {
    ImageTransfer { reference: "registry.example.com/app:1".into(), digest: None, layers: vec![] }
}

/// The same event with odd texts, one at a time, and the place of each.
pub(crate) fn odd(moment: Moment) -> Vec<(String, Event)> {
    let mut plain = plain(moment);
    if let Subject::Container(spec) = &mut plain.subject {
        let port = Port {
            host_address: Ipv4Addr::UNSPECIFIED.into(),
            host_port: 0,
            container_port: 0,
            protocol: Protocol::Sctp,
        };
        spec.ports = vec![port];
        spec.env = vec![("A".into(), "1".into())];
    }
    let Ok(whole) = serde_json::to_value(&plain) else { return Vec::new() };
    let mut places = Vec::new();
    texts(&whole, "", &mut places);
    let long = "x".repeat(64 << 10);
    let mut events = vec![(format!("a plain {}", moment.as_str()), plain)];
    for place in &places {
        for (name, odd) in [("empty", ""), ("NUL", "\0"), ("long", &*long), ("not ASCII", "\u{1f433}")] {
            let mut changed = whole.clone();
            if let Some(text) = changed.pointer_mut(place) {
                *text = odd.into();
            }
            // What is no longer an event (a digest that is none) can not come from the core.
            if let Ok(event) = serde_json::from_value(changed) {
                events.push((format!("{name} text at {place}"), event));
            }
        }
    }
    events
}

fn texts(value: &Value, place: &str, places: &mut Vec<String>) {
    match value {
        Value::String(_) => places.push(place.to_owned()),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| texts(item, &format!("{place}/{index}"), places));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| texts(value, &format!("{place}/{name}"), places));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::hook::MountKind;

    use super::*;

    #[test]
    fn what_is_not_said_is_plain() {
        for moment in Moment::ALL {
            let text = format!("{{\"{}\": {{}}}}", moment.as_str());
            assert_eq!(read(&text).unwrap(), plain(moment), "{text}");
        }
    }

    #[test]
    fn a_container_has_what_is_said() {
        let text = r#"{"container": {"image": "x:latest", "working-dir": "/w", "privileged": true, "env": [["A", "1"]],
            "mounts": [{"kind": "bind", "source": "/", "target": "/host", "read-only": false}]},
            "changes": [{"description": "env A=1", "owner": "other"}]}"#;
        let event = read(text).unwrap();
        let Subject::Container(spec) = &event.subject else { panic!("{event:?}") };
        assert_eq!((&*spec.image, &*spec.working_dir, spec.privileged), ("x:latest", "/w", true));
        assert_eq!(spec.env, [("A".to_owned(), "1".to_owned())]);
        assert_eq!((spec.mounts[0].kind, &*spec.mounts[0].source), (MountKind::Bind, "/"));
        assert_eq!(event.changes[0].owner, "other");
    }

    #[test]
    fn an_op_is_one_of_several_things() {
        let action = |text: &str| match read(&format!("{{\"build-op\": {{\"op\": {{\"action\": {text}}}}}}}"))
        {
            Ok(Event { subject: Subject::BuildOp { op, .. }, .. }) => op.action,
            other => panic!("{other:?}"),
        };
        let Action::Exec(exec) = action(r#"{"exec": {"command": {"argv": ["id"]}, "user": "root"}}"#) else {
            panic!()
        };
        assert_eq!((exec.command, exec.user.as_deref()), (Command::Argv(vec!["id".into()]), Some("root")));
        let Action::Write { base, content, mode, owner, .. } = action(
            r#"{"write": {"base": "scratch", "content": "hi", "mode": "0755", "owner": {"user": "a"}}}"#,
        ) else {
            panic!()
        };
        assert_eq!(
            (base, content, mode, owner.unwrap().user),
            (Input::Scratch, b"hi".to_vec(), 0o755, "a".into())
        );
        let Action::Exec(exec) = action(r#"{"exec": {"mounts": [{"tmpfs": {"target": "/t"}}]}}"#) else {
            panic!()
        };
        assert_eq!(exec.mounts, [wharf_model::build::Mount::Tmpfs { target: "/t".into(), size: None }]);
        let devices = r#"{"exec": {"devices": [{"name": "vendor.com/class=a", "required": true}]}}"#;
        let Action::Exec(exec) = action(devices) else { panic!() };
        assert_eq!(exec.devices[0].name, "vendor.com/class=a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("{", "not JSON"),
            ("{}", "expected one of build-op, "),
            (r#"{"container": {}, "exec": {}}"#, "expected one of build-op, "),
            (r#"{"container": {"images": "x"}}"#, "container has no field `images`, only id, name, image"),
            (r#"{"container": {"privileged": "yes"}}"#, "container: invalid type"),
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn odd_events_are_events() {
        for moment in Moment::ALL {
            assert!(odd(moment).len() > 4, "{moment:?}");
        }
    }
}
