//! A component that asks WASI, one question for each of its exports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use wasmtime::Store;
use wasmtime::component::{Component, Instance, Linker};

use super::*;
use crate::Event;
use crate::session::{Listener, Outside, Subject, with_context};
use crate::testing::Fixed;
use crate::wasm::Machine;

/// One call's store, and what was logged.
struct Asked {
    store: Store<Caller>,
    instance: Instance,
    log: Arc<Mutex<Vec<String>>>,
}

impl Asked {
    fn new() -> Self {
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (machine, listener, lines) = (Machine::new().unwrap(), Listener::default(), Arc::clone(&log));
        listener.set(Box::new(move |event| {
            if let Event::Log { level, message, .. } = event {
                lines.lock().unwrap().push(format!("{level}: {message}"));
            }
        }));
        let subject = Subject::new(&crate::testing::plugin("p", "instruction"), listener, Outside::default());
        let component = Component::new(machine.engine(), wat::parse_str(include_str!("tests.wat")).unwrap());
        let (component, mut linker) = (component.unwrap(), Linker::new(machine.engine()));
        link(machine.engine(), &mut linker, &component).unwrap();
        let mut store = Store::new(machine.engine(), Caller::new(Session::new(&Arc::new(subject)), 1 << 20));
        store.set_fuel(1 << 30).unwrap();
        store.set_epoch_deadline(1 << 30);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        Self { store, instance, log }
    }

    fn call(&mut self, question: &str) -> Result<u64> {
        let function = self.instance.get_typed_func::<(), (u64,)>(&mut self.store, question)?;
        function.call(&mut self.store, ()).map(|(answer,)| answer)
    }

    fn bytes(&mut self, length: u64) -> Result<u64> {
        let function = self.instance.get_typed_func::<(u64,), (u64,)>(&mut self.store, "bytes")?;
        function.call(&mut self.store, (length,)).map(|(answer,)| answer)
    }

    fn finish(self) -> Vec<String> {
        let Caller { mut session, wasi, .. } = self.store.into_data();
        wasi.finish(&mut session);
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

#[test]
fn time_stands_still() {
    let mut asked = Asked::new();
    for question in ["seconds", "steadily", "seconds"] {
        assert_eq!(asked.call(question).unwrap(), 0, "{question}");
    }
}

#[test]
fn the_time_is_a_build_argument() {
    let args = BTreeMap::from([("SOURCE_DATE_EPOCH".to_owned(), "1700000000".to_owned())]);
    let mut fixed = Fixed { args, ..Fixed::default() };
    with_context(&mut fixed, || {
        assert_eq!(Asked::new().call("seconds").unwrap(), 1_700_000_000);
        assert_eq!(Asked::new().call("steadily").unwrap(), 0);
    });
    fixed.args.insert("SOURCE_DATE_EPOCH".into(), "now".into());
    with_context(&mut fixed, || assert_eq!(Asked::new().call("seconds").unwrap(), 0));
}

#[test]
fn randomness_is_the_same_in_every_call() {
    let twice: Vec<Vec<u64>> = (0..2)
        .map(|_| {
            let mut asked = Asked::new();
            vec![asked.call("number").unwrap(), asked.bytes(64).unwrap(), asked.call("number").unwrap()]
        })
        .collect();
    assert_eq!(twice[0], twice[1]);
    assert_ne!(twice[0][0], twice[0][2], "but not the same number over and over");
}

#[test]
fn more_random_bytes_than_anybody_needs_end_the_call() {
    for length in [u64::MAX, 1 << 40, 16 << 20] {
        let error = Asked::new().bytes(length).unwrap_err();
        assert!(error.root_cause().to_string().contains("random bytes"), "{error:?}");
    }
}

#[test]
fn questions_without_end_end_the_call() {
    let mut asked = Asked::new();
    let error = (0..200_000).find_map(|_| asked.call("steadily").err()).expect("some time it is enough");
    assert!(error.root_cause().to_string().contains("questions"), "{error:?}");
}

#[test]
fn there_is_no_environment_and_no_socket() {
    let mut asked = Asked::new();
    assert_eq!(asked.call("variables").unwrap(), 0);
    assert_eq!(asked.call("socket").unwrap(), 256 + 1, "access denied");
}

#[test]
fn what_is_printed_is_logged_by_lines() {
    let mut asked = Asked::new();
    assert_eq!(asked.call("write").unwrap(), 0);
    assert_eq!(asked.call("write").unwrap(), 0);
    assert_eq!(asked.finish(), ["stderr: one", "stderr: twoone", "stderr: two"]);
}

#[test]
fn exiting_ends_the_call() {
    let error = Asked::new().call("exit").unwrap_err();
    assert!(error.root_cause().to_string().contains("it exits"), "{error:?}");
}

#[test]
fn only_what_is_offered_is_linked() {
    for (import, offered) in [
        ("wasi:cli/stdout@0.2.0", true),
        ("wasi:cli/stdout@0.2.12", true),
        ("wasi:cli/stdout@0.3.0", false),
        ("wasi:cli/stdout", false),
        ("wasi:http/outgoing-handler@0.2.0", false),
        ("wasi:keyvalue/store@0.2.0", false),
        ("wharf:plugin/host@0.1.0", false),
    ] {
        assert_eq!(offers(import), offered, "{import}");
    }
}
