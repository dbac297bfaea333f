use super::*;
use crate::instruction::{Body, BodyKind, ConfigChange, Instruction, Invocation, KeywordSpec, Outcome, Plan};
use crate::manifest::{Manifest, Package};
use crate::testing;

struct Echo;

impl Instruction for Echo {
    fn describe() -> Vec<KeywordSpec> {
        vec![KeywordSpec::new("ECHO", "a label from an argument", BodyKind::Text)]
    }

    fn plan(call: &Invocation, context: &dyn Context) -> Result<Outcome, Failure> {
        assert!(call.text() != "panic", "asked to");
        let value = context.arg(call.text()).unwrap_or_default();
        Ok(Plan::config([ConfigChange::Label(("echo".into(), value))]).into())
    }
}

impl Package for Echo {
    const NAME: &'static str = "echo_test";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "";
}

const PLUGIN: Plugin = Plugin::of::<crate::instruction::Exported<Echo>>();

/// Answers `context.arg` with the argument's name in capitals, and nothing else.
unsafe extern "C" fn host_call(_: *mut c_void, function: Bytes, input: Bytes, output: *mut Buffer) -> i32 {
    // SAFETY: the plugin keeps the name in place during the call.
    let function = unsafe { function.as_slice() };
    // SAFETY: the plugin keeps the input in place during the call.
    let input = unsafe { input.as_slice() };
    if function != b"context.arg" {
        return 4;
    }
    let name: String = one(input).unwrap();
    let answer = encode(&Some(name.to_uppercase())).unwrap();
    // SAFETY: the plugin gives the address of a buffer of its own.
    unsafe { output.write(Buffer::of(answer)) };
    0
}

fn call(function: &str, input: &[u8]) -> (i32, Vec<u8>) {
    let host = Host { abi: ABI, size: 32, state: std::ptr::null_mut(), call: host_call, free };
    let mut output = Buffer::EMPTY;
    let (function, input) = (Bytes::of(function.as_bytes()), Bytes::of(input));
    // SAFETY: everything given here lives until the call returns.
    let code = unsafe { (PLUGIN.call)(function, input, &raw const host, &raw mut output) };
    // SAFETY: the plugin wrote it, and it is given back below.
    let bytes = unsafe { Bytes { data: output.data, len: output.len }.as_slice() }.to_vec();
    // SAFETY: given back once.
    unsafe { (PLUGIN.free)(output) };
    (code, bytes)
}

fn statement(text: &str) -> Vec<u8> {
    encode(&(testing::call("ECHO", Body::Text(text.into())),)).unwrap()
}

#[test]
fn an_answer_may_ask_the_engine() {
    let (code, bytes) = call("plan-instruction", &statement("version"));
    let outcome: Result<Outcome, Failure> = decode(&bytes).unwrap();
    let expected = Plan::config([ConfigChange::Label(("echo".into(), "VERSION".into()))]);
    assert_eq!((code, outcome), (0, Ok(expected.into())));
}

#[test]
fn a_plugin_introduces_itself_by_its_crate() {
    let (code, bytes) = call("introduce", &[]);
    let manifest: Manifest = decode(&bytes).unwrap();
    let (name, summary) = ("echo-test".into(), "a label from an argument".into());
    assert_eq!((code, manifest), (0, Manifest { name, version: "1.0.0".into(), summary, requests: vec![] }));
}

#[test]
fn each_way_to_fail_has_its_code() {
    assert_eq!(call("describe", &[]).0, 0);
    assert_eq!(call("plan-instruction", &statement("panic")), (1, b"asked to".to_vec()));
    assert_eq!(call("frobnicate", &[]), (2, b"frobnicate".to_vec()));
    assert_eq!(call("plan-instruction", &[0xff; 3]).0, 3);
}

#[test]
fn the_description_is_what_the_abi_says() {
    assert_eq!((PLUGIN.abi, PLUGIN.size, size_of::<Host>()), (1, 56, 32));
    // SAFETY: constants of this program.
    assert_eq!(unsafe { PLUGIN.world.as_slice() }, b"instruction-plugin");
}
