//! One call of a plugin: what it may ask meanwhile, and what is heard from it.
//!
//! The context or state that a call is about is in a scoped thread-local: a plugin can reach it
//! only while the call lasts and only on its thread, which also holds for a native library that
//! kept a pointer or started a thread. Components and libraries share this file, so both ask
//! under the same grants.

use std::sync::{Arc, OnceLock};

use scoped_tls_hkt::scoped_thread_local;
use wharf_model::build::Device;
use wharf_model::grant::Grants;
use wharf_model::manifest::Manifest;
use wharf_model::remote::{RemoteRequest, RemoteResponse};
use wharf_model::{Diagnostic, Digest, Failure, FailureKind, Platform, Settings, Severity};

use crate::authorize::{self, Denied, Reads};
use crate::bindings::device_types;
use crate::config::{Limits, PluginConfig};
use crate::kind::{
    BuildContext, Entry, ImageFiles, ImageSignatures, Remote, ResolvedImage, Root, Signature, StateView,
};
use crate::{Cost, Event, remote, rights};

scoped_thread_local!(static mut CONTEXT: for<'a> &'a mut (dyn BuildContext + 'a));
scoped_thread_local!(static VIEW: for<'a> &'a (dyn StateView + 'a));
scoped_thread_local!(static mut FILES: for<'a> &'a mut (dyn ImageFiles + 'a));
scoped_thread_local!(static OP_DEVICES: for<'a> &'a [Device]);
scoped_thread_local!(static mut SIGNATURES: for<'a> &'a mut (dyn ImageSignatures + 'a));

/// Bytes of one file, or of one answer, at most.
pub(crate) const BYTES: usize = 16 << 20;
/// Bytes of all files of one call at most.
const ALL_BYTES: usize = 256 << 20;
/// Questions of one call at most.
const QUESTIONS: u32 = 100_000;
/// Entries of one listing at most.
const ENTRIES: u32 = 100_000;
/// Bytes of log of one call at most; what comes later is dropped.
const LOG: usize = 256 << 10;

type Listen = Box<dyn Fn(Event<'_>) + Send + Sync>;

/// Told what happens, for a front end.
#[derive(Clone, Default)]
pub(crate) struct Listener(Arc<OnceLock<Listen>>);

impl Listener {
    /// The first one stays.
    pub(crate) fn set(&self, listen: Listen) {
        let _first_stays = self.0.set(listen);
    }

    pub(crate) fn tell(&self, event: Event<'_>) {
        if let Some(listen) = self.0.get() {
            listen(event);
        }
    }
}

/// What carries out calls of servers, when there is something that does.
#[derive(Clone, Default)]
pub(crate) struct Outside(Arc<OnceLock<Arc<dyn Remote>>>);

impl Outside {
    /// The first one stays.
    pub(crate) fn set(&self, remote: Arc<dyn Remote>) {
        let _first_stays = self.0.set(remote);
    }
}

/// What a call needs to know of its plugin.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    /// What is granted; from when its manifest is known, what that requests of it.
    pub(crate) grants: Grants,
    /// What its manifest requests, in words; `None` until that is known.
    requests: Option<Vec<String>>,
    pub(crate) limits: Limits,
    reads: Reads,
    pub(crate) listener: Listener,
    outside: Outside,
}

/// One call.
pub(crate) struct Session {
    subject: Arc<Subject>,
    questions: u32,
    moved: usize,
    logged: usize,
    last_log: Option<String>,
    diagnostics: Vec<Diagnostic>,
    devices: Vec<device_types::Device>,
    denied: Option<Denied>,
    pub(crate) cost: Cost,
}

/// What is known of a call when it is over.
pub(crate) struct Heard {
    pub(crate) last_log: Option<String>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What the programs of its plan are to see.
    pub(crate) devices: Vec<device_types::Device>,
    pub(crate) denied: Option<Denied>,
}

/// A question that ends the call.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("asked for what there is not in this call")]
    Absent,
    #[error("asked more than {QUESTIONS} questions")]
    Questions,
    #[error("read more than {ALL_BYTES} bytes")]
    Bytes,
}

pub(crate) type Asked<T> = Result<T, Refused>;

/// Makes `context` what instructions ask about while `call` lasts.
pub(crate) fn with_context<R>(context: &mut dyn BuildContext, call: impl FnOnce() -> R) -> R {
    CONTEXT.set(context, call)
}

/// Makes `state` what drivers ask about while `call` lasts.
pub(crate) fn with_view<R>(state: &dyn StateView, call: impl FnOnce() -> R) -> R {
    VIEW.set(state, call)
}

/// Makes `image` what hooks look into while `call` lasts.
pub(crate) fn with_files<R>(image: Option<&mut dyn ImageFiles>, call: impl FnOnce() -> R) -> R {
    match image {
        Some(image) => FILES.set(image, call),
        None => call(),
    }
}

/// Makes `devices` those of the op that a hook is asked about while `call` lasts.
pub(crate) fn with_op_devices<R>(devices: &[Device], call: impl FnOnce() -> R) -> R {
    OP_DEVICES.set(devices, call)
}

/// Makes `signatures` what hooks ask about while `asking` lasts.
pub fn with_signatures<R>(signatures: &mut dyn ImageSignatures, asking: impl FnOnce() -> R) -> R {
    SIGNATURES.set(signatures, asking)
}

impl Subject {
    pub(crate) fn new(plugin: &PluginConfig, listener: Listener, outside: Outside) -> Self {
        Self {
            name: plugin.name.clone(),
            settings: plugin.settings.clone(),
            grants: plugin.grants.clone(),
            requests: None,
            limits: plugin.limits,
            reads: Reads::new(&plugin.grants.read),
            listener,
            outside,
        }
    }

    /// The same with what is both granted and requested.
    pub(crate) fn narrowed(&self, manifest: &Manifest) -> Self {
        let grants = rights::effective(&self.grants, &manifest.requests);
        Self {
            name: self.name.clone(),
            settings: self.settings.clone(),
            reads: Reads::new(&grants.read),
            grants,
            requests: Some(manifest.requests.iter().map(|request| request.right.clone()).collect()),
            limits: self.limits,
            listener: self.listener.clone(),
            outside: self.outside.clone(),
        }
    }

    /// Says whether a grant would help.
    pub(crate) fn denied(&self, mut denied: Denied) -> Denied {
        let requests = self.requests.iter().flatten();
        denied.requested =
            self.requests.is_none() || requests.into_iter().any(|right| rights::covers(right, &denied.right));
        denied
    }

    /// Some address is granted.
    pub(crate) fn may_call(&self) -> bool {
        !self.grants.remote.is_empty()
    }
}

impl Session {
    pub(crate) fn new(subject: &Arc<Subject>) -> Self {
        Self {
            subject: Arc::clone(subject),
            questions: 0,
            moved: 0,
            logged: 0,
            last_log: None,
            diagnostics: Vec::new(),
            devices: Vec::new(),
            denied: None,
            cost: Cost::default(),
        }
    }

    pub(crate) fn finish(self) -> Heard {
        let Self { last_log, diagnostics, devices, denied, .. } = self;
        Heard { last_log, diagnostics, devices, denied }
    }

    pub(crate) fn settings(&mut self) -> Asked<&Settings> {
        self.count(0)?;
        Ok(&self.subject.settings)
    }

    pub(crate) fn log(&mut self, level: &str, message: String) -> Asked<()> {
        self.count(message.len())?;
        self.logged = self.logged.saturating_add(message.len());
        if self.logged <= LOG {
            let message = crate::convert::shown(message);
            self.subject.listener.tell(Event::Log { plugin: &self.subject.name, level, message: &message });
            self.last_log = Some(message);
        }
        Ok(())
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) -> Asked<()> {
        self.count(diagnostic.message.len())?;
        if self.diagnostics.len() < 1000 {
            self.diagnostics.push(diagnostic);
        }
        Ok(())
    }

    /// Whether there is a build to ask about.
    pub(crate) fn has_context() -> bool {
        CONTEXT.is_set()
    }

    /// A question about the build; `size` is how many bytes it takes.
    pub(crate) fn context<R>(
        &mut self,
        size: usize,
        ask: impl FnOnce(&mut dyn BuildContext) -> R,
    ) -> Asked<R> {
        self.count(size)?;
        if CONTEXT.is_set() { Ok(CONTEXT.with(ask)) } else { Err(Refused::Absent) }
    }

    pub(crate) fn stat(&mut self, root: &Root, path: &str) -> Asked<Result<Option<Entry>, Failure>> {
        match self.path(path) {
            Ok(clean) => self.context(path.len(), |context| context.stat(root, &clean)),
            Err(failure) => {
                self.count(path.len())?;
                Ok(Err(failure))
            }
        }
    }

    pub(crate) fn read(
        &mut self,
        root: &Root,
        path: &str,
        limit: u64,
    ) -> Asked<Result<Option<Vec<u8>>, Failure>> {
        let size = path.len();
        let path = match self.path(path) {
            Ok(path) => path,
            Err(failure) => {
                self.count(size)?;
                return Ok(Err(failure));
            }
        };
        let answer = self.context(size, |context| context.read(root, &path, limit.min(BYTES as u64)))?;
        if let Ok(Some(bytes)) = &answer {
            self.count(bytes.len())?;
        }
        Ok(answer)
    }

    /// Entries outside of the grants are not shown.
    pub(crate) fn glob(
        &mut self,
        root: &Root,
        patterns: &[String],
        limit: u32,
    ) -> Asked<Result<Vec<Entry>, Failure>> {
        self.count(patterns.iter().map(String::len).sum())?;
        let patterns: Result<Vec<String>, Failure> = patterns.iter().map(|path| clean(path)).collect();
        let patterns = match patterns {
            Ok(patterns) => patterns,
            Err(failure) => return Ok(Err(failure)),
        };
        let answer = self.context(0, |context| context.glob(root, &patterns, limit.min(ENTRIES)))?;
        Ok(answer.map(|mut entries| {
            entries.retain(|entry| self.subject.reads.may(&entry.path));
            entries
        }))
    }

    pub(crate) fn resolve_image(
        &mut self,
        reference: &str,
        platform: Option<&Platform>,
    ) -> Asked<Result<ResolvedImage, Failure>> {
        if !self.subject.grants.read.contains("image") {
            self.count(reference.len())?;
            return Ok(Err(self.deny("image")));
        }
        self.context(reference.len(), |context| context.resolve_image(reference, platform))
    }

    pub(crate) fn image_stat(&mut self, path: &str) -> Asked<Result<Option<Entry>, Failure>> {
        match self.image_paths(&[path])?.as_deref() {
            Ok([path]) => self.image(|image| image.stat(path)),
            Ok(_) => Err(Refused::Absent),
            Err(failure) => Ok(Err(failure.clone())),
        }
    }

    pub(crate) fn image_read(&mut self, path: &str, limit: u64) -> Asked<Result<Option<Vec<u8>>, Failure>> {
        let answer = match self.image_paths(&[path])?.as_deref() {
            Ok([path]) => self.image(|image| image.read(path, limit.min(BYTES as u64)))?,
            Ok(_) => return Err(Refused::Absent),
            Err(failure) => Err(failure.clone()),
        };
        if let Ok(Some(bytes)) = &answer {
            self.count(bytes.len())?;
        }
        Ok(answer)
    }

    pub(crate) fn image_glob(
        &mut self,
        patterns: &[String],
        limit: u32,
    ) -> Asked<Result<Vec<Entry>, Failure>> {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        match self.image_paths(&patterns)? {
            Ok(patterns) => self.image(|image| image.glob(&patterns, limit.min(ENTRIES))),
            Err(failure) => Ok(Err(failure)),
        }
    }

    /// Clean paths or patterns of an image, when the plugin may look at it.
    fn image_paths(&mut self, paths: &[&str]) -> Asked<Result<Vec<String>, Failure>> {
        self.count(paths.iter().map(|path| path.len()).sum())?;
        if !self.subject.grants.read.contains("image") {
            return Ok(Err(self.deny("image")));
        }
        Ok(paths.iter().map(|path| clean(path)).collect())
    }

    fn image<R>(&mut self, ask: impl FnOnce(&mut dyn ImageFiles) -> R) -> Asked<R> {
        if FILES.is_set() { Ok(FILES.with(ask)) } else { Err(Refused::Absent) }
    }

    /// A device for the programs of the plan that the call is to return.
    pub(crate) fn add_device(&mut self, device: device_types::Device) -> Asked<()> {
        self.count(device.name.len())?;
        if !CONTEXT.is_set() {
            return Err(Refused::Absent);
        }
        self.devices.push(device);
        Ok(())
    }

    /// The devices of the op that a hook is asked about.
    pub(crate) fn op_devices(&mut self) -> Asked<Vec<device_types::Device>> {
        self.count(0)?;
        if !OP_DEVICES.is_set() {
            return Err(Refused::Absent);
        }
        Ok(OP_DEVICES.with(|devices| devices.iter().cloned().map(Into::into).collect()))
    }

    pub(crate) fn asked_at(&mut self) -> Asked<Result<u64, Failure>> {
        self.signatures(0, |found| Ok(found.asked_at()))
    }

    pub(crate) fn image_digests(&mut self) -> Asked<Result<Vec<Digest>, Failure>> {
        self.signatures(0, |found| Ok(found.digests()))
    }

    pub(crate) fn image_signatures(&mut self, subject: &str) -> Asked<Result<Vec<Signature>, Failure>> {
        let answer = self.signatures(subject.len(), |found| {
            let digests = found.digests();
            match subject.parse::<Digest>().ok().filter(|subject| digests.contains(subject)) {
                Some(subject) => found.about(&subject),
                None => Err(not_of_this_image(subject)),
            }
        })?;
        if let Ok(found) = &answer {
            self.count(found.iter().map(|found| found.content.len()).sum())?;
        }
        Ok(answer)
    }

    pub(crate) fn site_file(&mut self, name: &str) -> Asked<Result<Option<Vec<u8>>, Failure>> {
        let answer = self.signatures(name.len(), |found| found.site_file(name))?;
        if let Ok(Some(content)) = &answer {
            self.count(content.len())?;
        }
        Ok(answer)
    }

    fn signatures<R>(
        &mut self,
        size: usize,
        ask: impl FnOnce(&mut dyn ImageSignatures) -> Result<R, Failure>,
    ) -> Asked<Result<R, Failure>> {
        self.count(size)?;
        if !self.subject.grants.read.contains("signatures") {
            return Ok(Err(self.deny("signatures")));
        }
        if SIGNATURES.is_set() { Ok(SIGNATURES.with(ask)) } else { Err(Refused::Absent) }
    }

    /// Calls a server that the grants cover.
    pub(crate) fn remote(
        &mut self,
        token: &str,
        request: RemoteRequest,
    ) -> Asked<Result<RemoteResponse, Failure>> {
        self.count(request.url.len() + request.body.len())?;
        let (url, request) = match remote::check(token, request) {
            Ok(checked) => checked,
            Err(failure) => return Ok(Err(failure)),
        };
        if !remote::covered(&self.subject.grants, &url) {
            let denied = authorize::uncovered(&self.subject.name, &self.subject.grants, url);
            return Ok(Err(self.refuse(denied)));
        }
        let Some(client) = self.subject.outside.0.get().cloned() else {
            return Ok(Err(remote::no_way_out()));
        };
        let answer = client.call(token, &request);
        if let Ok(response) = &answer {
            self.count(response.body.len())?;
        }
        Ok(answer)
    }

    /// A question about a driver's state; `size` is how many bytes it takes.
    pub(crate) fn state<R>(&mut self, size: usize, ask: impl FnOnce(&dyn StateView) -> R) -> Asked<R> {
        self.count(size)?;
        if VIEW.is_set() { Ok(VIEW.with(ask)) } else { Err(Refused::Absent) }
    }

    /// Fuel does not pay for what happens on our side, so it is counted here.
    pub(crate) fn count(&mut self, bytes: usize) -> Asked<()> {
        self.questions += 1;
        self.moved = self.moved.saturating_add(bytes);
        if self.questions > QUESTIONS {
            return Err(Refused::Questions);
        }
        if self.moved > ALL_BYTES { Err(Refused::Bytes) } else { Ok(()) }
    }

    /// A clean path the plugin may look at.
    fn path(&mut self, path: &str) -> Result<String, Failure> {
        let path = clean(path)?;
        if self.subject.reads.may(&path) { Ok(path) } else { Err(self.deny(&format!("context:{path}"))) }
    }

    fn deny(&mut self, wanted: &str) -> Failure {
        self.refuse(authorize::unreadable(&self.subject.name, &self.subject.grants, wanted))
    }

    fn refuse(&mut self, denied: Denied) -> Failure {
        let denied = self.subject.denied(denied);
        let mut diagnostic = Diagnostic::new(Severity::Error, "wharf/denied", denied.to_string());
        diagnostic.help = Some(denied.next_step());
        self.subject.listener.tell(Event::Denied { plugin: &self.subject.name, right: &denied.right });
        self.denied.get_or_insert(denied);
        Failure { kind: FailureKind::Denied, diagnostics: vec![diagnostic] }
    }
}

fn not_of_this_image(subject: &str) -> Failure {
    let what = format!("`{}` is no digest of this image", crate::convert::shown(subject.to_owned()));
    let diagnostic = Diagnostic::new(Severity::Error, "wharf/signatures", what);
    Failure { kind: FailureKind::InvalidInput, diagnostics: vec![diagnostic] }
}

/// Relative to the root, without `.` and `..`; what would leave the root stays at it, as for
/// `COPY ../x` in a Dockerfile.
fn clean(path: &str) -> Result<String, Failure> {
    if path.contains('\0') || path.len() > 4096 {
        let message = "a path is longer than 4096 bytes or contains a NUL byte";
        let diagnostic = Diagnostic::new(Severity::Error, "wharf/path", message);
        return Err(Failure { kind: FailureKind::InvalidInput, diagnostics: vec![diagnostic] });
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fixed;

    fn session(reads: &[&str]) -> Session {
        let mut plugin = crate::testing::plugin("p", "instruction");
        plugin.grants.read = reads.iter().map(|read| (*read).to_owned()).collect();
        Session::new(&Arc::new(Subject::new(&plugin, Listener::default(), Outside::default())))
    }

    #[test]
    fn paths_stay_below_the_root() {
        for (path, kept) in
            [("", ""), ("/", ""), ("a/./b", "a/b"), ("../../etc/passwd", "etc/passwd"), ("/a/../../b//", "b")]
        {
            assert_eq!(clean(path).unwrap(), kept, "for {path:?}");
        }
        assert!(clean("a\0b").is_err());
    }

    #[test]
    fn reading_takes_a_grant() {
        let mut fixed = Fixed::default();
        fixed.files.insert("debian/control".into(), b"x".to_vec());
        fixed.files.insert("secret".into(), b"y".to_vec());
        for (reads, path, allowed) in [
            (&["context"][..], "secret", true),
            (&["context:debian/**"], "debian/control", true),
            (&["context:debian/**"], "debian", true),
            (&["context:debian/**"], "secret", false),
            (&["context:debian/**"], "debian/../secret", false),
            (&["context:*"], "debian/control", false),
            (&["image"], "secret", false),
            (&[], "secret", false),
        ] {
            let mut session = session(reads);
            let answer = with_context(&mut fixed, || session.stat(&Root::Local, path)).unwrap();
            assert_eq!(answer.is_ok(), allowed, "{path} with {reads:?}");
            assert_eq!(session.finish().denied.is_none(), allowed);
        }
    }

    #[test]
    fn a_listing_shows_what_is_granted() {
        let mut fixed = Fixed::default();
        fixed.files.insert("a".into(), vec![]);
        fixed.files.insert("b".into(), vec![]);
        let mut session = session(&["context:a"]);
        let entries =
            with_context(&mut fixed, || session.glob(&Root::Local, &["*".into()], 10)).unwrap().unwrap();
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn nothing_can_be_asked_outside_of_a_call() {
        let mut session = session(&["context"]);
        assert!(matches!(session.stat(&Root::Local, "a"), Err(Refused::Absent)));
        assert!(matches!(session.state(0, |view| view.get("a")), Err(Refused::Absent)));
        assert!(matches!(session.op_devices(), Err(Refused::Absent)));
        assert!(matches!(session.add_device(device("a")), Err(Refused::Absent)));
    }

    fn device(name: &str) -> device_types::Device {
        device_types::Device { name: name.into(), required: false }
    }

    #[test]
    fn an_instruction_adds_devices_and_a_hook_sees_those_of_its_op() {
        let mut session = session(&[]);
        with_context(&mut Fixed::default(), || session.add_device(device("a"))).unwrap();
        let devices = [Device { name: "b".into(), required: true }];
        let seen = with_op_devices(&devices, || session.op_devices()).unwrap();
        assert_eq!(seen, [device_types::Device { name: "b".into(), required: true }]);
        assert_eq!(session.finish().devices, [device("a")]);
    }

    #[test]
    fn questions_are_counted() {
        let mut fixed = Fixed::default();
        let mut session = session(&[]);
        let last = with_context(&mut fixed, || {
            (0..=QUESTIONS).map(|_| session.context(0, |context| context.arg("A"))).last()
        });
        assert!(matches!(last, Some(Err(Refused::Questions))));
    }
}
