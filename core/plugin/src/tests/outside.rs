//! What hooks reach beyond their event: a server, and the files of an image.

use std::sync::{Arc, Mutex};

use wharf_model::hook::{Moment, Phase, Verdict};
use wharf_model::remote::{RemoteRequest, RemoteResponse};
use wharf_model::{Failure, FailureKind};

use super::hostile::{JUDGE, event};
use super::{Shelf, hook};
use crate::testing::Fixed;
use crate::{Fault, Hook, PluginError, Plugins, Remote};

/// Answers 204, and remembers.
#[derive(Default)]
struct Server(Mutex<Vec<(String, RemoteRequest)>>);

impl Remote for Server {
    fn call(&self, token: &str, request: &RemoteRequest) -> Result<RemoteResponse, Failure> {
        self.0.lock().unwrap().push((token.into(), request.clone()));
        Ok(RemoteResponse { status: 204, headers: vec![], body: vec![] })
    }
}

/// Calls `https://ipam.example/v1/leases`; allows when the answer is 204, traps when there is another,
/// and passes a failure on.
const CALL: &str = "
    (call $call (i32.const 2304) (i32.const 7) (i32.const 2320) (i32.const 3) (i32.const 2336) (i32.const 30)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 512))
    (if (i32.load8_u (i32.const 512)) (then
        (i32.store8 (i32.const 8192) (i32.const 1))
        (i32.store8 (i32.const 8196) (i32.load8_u (i32.const 516)))
        (i32.store (i32.const 8200) (i32.load (i32.const 520)))
        (i32.store (i32.const 8204) (i32.load (i32.const 524)))
        (return (i32.const 8192))))
    (if (i32.ne (i32.load16_u (i32.const 516)) (i32.const 204)) (then (unreachable)))
    (i32.const 4096)";

fn one(plugins: &Plugins) -> Arc<dyn Hook> {
    plugins.hooks(Moment::Container, Phase::Judge).remove(0)
}

fn judge(body: &str, lines: &str) -> (Result<Verdict, PluginError>, Vec<(String, RemoteRequest)>) {
    let mut shelf = Shelf::new();
    shelf.add("caller", "hook", &hook(body), lines);
    let server = Arc::new(Server::default());
    let plugins = shelf.plugins().with_remote(Arc::<Server>::clone(&server));
    let verdict = one(&plugins).judge(&event(), None);
    let seen = std::mem::take(&mut *server.0.lock().unwrap());
    (verdict, seen)
}

#[test]
fn a_granted_address_is_called_with_the_token() {
    let (verdict, seen) = judge(CALL, JUDGE);
    assert_eq!(verdict.unwrap(), Verdict::Allow);
    let [(token, request)] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(
        (&**token, &*request.method, &*request.url),
        ("token-1", "GET", "https://ipam.example/v1/leases")
    );
}

#[test]
fn another_address_is_denied_with_the_lines_that_allow_it() {
    let lines = "grants = { ops = [\"judge\"], remote = [\"https://ipam.example/v1/nets/\"] }";
    let (verdict, seen) = judge(CALL, lines);
    let error = verdict.unwrap_err();
    let expected = "[plugin.caller]\ngrants.remote = [\"https://ipam.example/v1/nets/\", \
                    \"https://ipam.example/v1/leases\"]";
    assert_eq!(error.denied().unwrap().toml, expected);
    assert!(seen.is_empty());
}

#[test]
fn without_a_grant_it_is_known_but_not_called() {
    let mut shelf = Shelf::new();
    shelf.add("caller", "hook", &hook("i32.const 4096"), "grants.ops = [\"judge\"]");
    let plugins = shelf.plugins();
    let manifest = plugins.manifest("caller").unwrap();
    assert_eq!((&*manifest.name, &*manifest.version), ("hello", "1.2"));
    assert_eq!(manifest.requests.last().unwrap().right, "remote:https://ipam.example/v1/");
    let error = one(&plugins).judge(&event(), None).unwrap_err();
    assert!(matches!(error.fault(), Fault::Denied(_)), "{error:?}");
    let next = error.next_step().unwrap();
    assert!(
        next.ends_with(
            "[plugin.caller]
grants.remote = [\"https://ipam.example/v1/\"]"
        ),
        "{next}"
    );
    // The same again, from what is kept on disk.
    let again = shelf.plugins();
    assert_eq!(again.manifest("caller").unwrap(), manifest);
    assert!(one(&again).judge(&event(), None).unwrap_err().denied().is_some());
    let unknown = again.manifest("nobody").unwrap_err();
    assert_eq!(unknown.to_string(), "plugin `nobody`: is not configured");
}

#[test]
fn without_a_client_a_call_is_unsupported() {
    let mut shelf = Shelf::new();
    shelf.add("caller", "hook", &hook(CALL), JUDGE);
    let error = one(&shelf.plugins()).judge(&event(), None).unwrap_err();
    assert_eq!(error.failure().unwrap().kind, FailureKind::Unsupported);
}

/// Allows when the image has an `etc/passwd`, traps when it has none, and passes a failure on.
const LOOK: &str = "
    (call $stat (i32.load offset=140 (local.get 0)) (i32.const 2400) (i32.const 10) (i32.const 512))
    (call $drop (i32.load offset=140 (local.get 0)))
    (if (i32.load8_u (i32.const 512)) (then
        (i32.store8 (i32.const 8192) (i32.const 1))
        (i32.store8 (i32.const 8196) (i32.load8_u (i32.const 520)))
        (i32.store (i32.const 8200) (i32.load (i32.const 524)))
        (i32.store (i32.const 8204) (i32.load (i32.const 528)))
        (return (i32.const 8192))))
    (if (i32.eqz (i32.load8_u (i32.const 520))) (then (unreachable)))
    (i32.const 4096)";

#[test]
fn the_files_of_an_image_take_a_grant() {
    let read = "grants = { ops = [\"judge\"], read = [\"image\"], remote = [\"https://ipam.example/v1/\"] }";
    for (lines, files, expected) in [
        (read, &["etc/passwd"][..], "allow"),
        (read, &[], "stopped"),
        (JUDGE, &["etc/passwd"], "was not granted `read:image`"),
    ] {
        let mut shelf = Shelf::new();
        shelf.add("looker", "hook", &hook(LOOK), lines);
        let mut image = Fixed::default();
        image.files.extend(files.iter().map(|path| ((*path).to_owned(), b"x".to_vec())));
        match one(&shelf.plugins()).judge(&event(), Some(&mut image)) {
            Ok(verdict) => assert_eq!((verdict, expected), (Verdict::Allow, "allow")),
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
        }
    }
}
