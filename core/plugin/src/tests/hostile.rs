//! Whatever a plugin does, one operation fails, with its name and a next step; the next call
//! works.

use std::time::{Duration, Instant};

use wharf_model::Digest;
use wharf_model::build::{Input, Outcome, Plan};
use wharf_model::hook::{ContainerSpec, Event, Moment, Phase, Subject, Verdict};
use wharf_model::statement::{Body, Invocation};

use super::{NOTHING, Shelf, hook, instruction, owner, plan, shelf, statement};
use crate::testing::Fixed;
use crate::{Fault, PluginError};

/// What a hook of these tests is granted.
pub(super) const JUDGE: &str = "grants = { ops = [\"judge\"], remote = [\"https://ipam.example/v1/\"] }";
const EXPAND: &str = "limits.fuel = 5_000_000\ngrants.ops = [\"expand\"]";

fn fails(body: &str, lines: &str) -> PluginError {
    let error = plan(&shelf(body, lines).plugins()).unwrap_err();
    assert_eq!(error.plugin(), "hello");
    assert!(error.to_string().starts_with("plugin `hello`: plan-instruction: "), "{error}");
    assert!(error.next_step().is_some(), "{error}");
    error
}

#[test]
fn a_loop_runs_out_of_fuel_the_same_way_every_time() {
    let error = fails("(call $say) (loop (br 0)) (unreachable)", "limits.fuel = 1_000_000");
    assert!(matches!(error.fault(), Fault::Fuel { fuel: 1_000_000 }), "{error:?}");
    assert_eq!(error.last_log(), Some("about to fail"));
    assert!(error.next_step().unwrap().contains("[plugin.hello]\nlimits.fuel = 4000000"));
}

#[test]
fn a_memory_bomb_meets_its_limit() {
    let error = fails(
        "(loop (drop (memory.grow (i32.const 100))) (br 0)) (unreachable)",
        "limits = { memory = \"16MiB\" }",
    );
    assert!(matches!(error.fault(), Fault::Memory { limit: 0x0100_0000, .. }), "{error:?}");
}

#[test]
fn a_trap_names_the_function_and_the_last_log_line() {
    let error = fails("(call $say) (unreachable)", "");
    let Fault::Trap { functions, .. } = error.fault() else { panic!("{error:?}") };
    assert_eq!(functions.first().map(String::as_str), Some("plan"));
    assert!(error.to_string().ends_with("in plan (last log line: about to fail)"), "{error}");
}

#[test]
fn endless_recursion_and_wild_accesses_are_traps() {
    for (body, words) in [
        ("(call $plan (local.get 0))", "stack"),
        ("(i32.load (i32.const -4))", "out of bounds"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
        ("(i32.const 4096)", "borrow"),
        ("(call $done (local.get 0)) (i32.const -4)", "out of bounds"),
    ] {
        let error = fails(body, "");
        assert!(matches!(error.fault(), Fault::Trap { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

/// `expand` with `count` lines at 128 KiB, which are whatever is in memory there.
fn lines(count: u32, fill: &str) -> String {
    format!(
        "(drop (memory.grow (i32.const 500)))
         {fill}
         (i32.store (i32.const 8196) (i32.const 2))
         (i32.store (i32.const 8200) (i32.const 131072))
         (i32.store (i32.const 8204) (i32.const {count}))
         (call $done (local.get 0)) (i32.const 8192)"
    )
}

#[test]
fn a_list_that_would_unfold_into_gigabytes_is_too_large() {
    let fill = "(memory.fill (i32.const 131072) (i32.const 1) (i32.const 0x1000000))";
    let error = fails(&lines(1_000_000, fill), "grants.ops = [\"expand\"]");
    assert!(matches!(error.fault(), Fault::TooLarge { .. }), "{error:?}");
}

#[test]
fn too_many_items_are_too_large() {
    let error = fails(&lines(65_537, ""), EXPAND);
    assert!(matches!(error.fault(), Fault::TooLarge { .. }), "{error:?}");
    let many = plan(&shelf(&lines(65_536, ""), EXPAND).plugins()).unwrap();
    assert_eq!(many, Outcome::Expand(vec![String::new(); 65_536]));
}

#[test]
fn a_million_ops_are_too_large() {
    // ok(plan): ops at 128 KiB, all of them an exec of nothing.
    let body = "(drop (memory.grow (i32.const 4000)))
                (i32.store (i32.const 8200) (i32.const 131072))
                (i32.store (i32.const 8204) (i32.const 1000000))
                (call $done (local.get 0)) (i32.const 8192)";
    let error = fails(body, "limits = { memory = \"512MiB\" }\ngrants.ops = [\"exec\"]");
    assert!(matches!(error.fault(), Fault::TooLarge { .. }), "{error:?}");
}

#[test]
fn a_string_of_100_megabytes_is_too_large() {
    let fill = "(drop (memory.grow (i32.const 1700)))
                (i32.store (i32.const 131072) (i32.const 131080))
                (i32.store (i32.const 131076) (i32.const 104857600))";
    let error = fails(&lines(1, fill), "limits = { memory = \"256MiB\" }\ngrants.ops = [\"expand\"]");
    assert!(matches!(error.fault(), Fault::TooLarge { .. }), "{error:?}");
}

#[test]
fn a_nul_byte_is_refused() {
    let fill = "(i32.store (i32.const 131072) (i32.const 131080))
                (i32.store (i32.const 131076) (i32.const 1))";
    let error = fails(&lines(1, fill), EXPAND);
    assert!(matches!(error.fault(), Fault::Answer { .. }), "{error:?}");
    assert!(error.to_string().contains("NUL"), "{error}");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let fill = "(i32.store (i32.const 131072) (i32.const 131080))
                (i32.store (i32.const 131076) (i32.const 1))
                (i32.store (i32.const 131080) (i32.const 255))";
    let error = fails(&lines(1, fill), EXPAND);
    assert!(error.to_string().contains("utf-8"), "{error}");
}

#[test]
fn questions_without_end_end() {
    let ask = "(call $arg (i32.load offset=76 (local.get 0)) (i32.const 112) (i32.const 7) (i32.const 200))
               (global.set $next (i32.const 65536))";
    let error = fails(&format!("(loop {ask} (br 0)) (unreachable)"), "");
    assert!(error.to_string().contains("questions"), "{error}");
}

#[test]
fn what_is_not_granted_is_denied_with_the_lines_that_allow_it() {
    let error = plan(&shelf(&lines(1, ""), "").plugins()).unwrap_err();
    let denied = error.denied().unwrap();
    assert_eq!((&*denied.right, &*denied.toml), ("ops:expand", "[plugin.hello]\ngrants.ops = [\"expand\"]"));
}

#[test]
fn the_next_call_works() {
    // Traps for a body of five letters; every other one is fine.
    let body = "(if (i32.eq (i32.load offset=24 (local.get 0)) (i32.const 5)) (then (unreachable)))";
    let shelf = shelf(&format!("{body} {NOTHING}"), "");
    let plugins = shelf.plugins();
    let hello = owner(&plugins, "HELLO").unwrap();
    let nothing = Plan { ops: vec![], rootfs: Input::Stage, config: vec![], diagnostics: vec![] };
    for (text, works) in [("world", false), ("all", true), ("again", false), ("end", true)] {
        let call = Invocation { body: Body::Text(text.into()), ..statement("HELLO") };
        let outcome = hello.plan(&call, &mut Fixed::default());
        assert_eq!(outcome.ok(), works.then(|| Outcome::Plan(nothing.clone())), "for {text}");
    }
}

/// The text of a component whose `plan-instruction` traps.
fn trapping() -> String {
    let plan = "(func (export \"wharf:plugin/instruction@0.1.0#plan-instruction\") (param i32) (result i32) \
                unreachable)";
    include_str!("instruction.wat").replace("CORE)", &format!("{}{plan})", super::INSTRUCTION))
}

#[test]
fn what_can_not_be_loaded_says_why() {
    let other_version = trapping().replace("@0.1.0", "@0.2.0");
    let text = trapping();
    let open = text.trim_end().strip_suffix(')').unwrap();
    let http = format!(
        "{open} (import \"wasi:http/outgoing-handler@0.2.0\" (instance (export \"handle\" (func)))))"
    );
    for (bytes, words) in [
        (b"hello".to_vec(), "not a component"),
        (Vec::new(), "not a component"),
        (b"\0asm\x01\0\0\0".to_vec(), "a core WebAssembly module"),
        (
            hook("unreachable"),
            "the contract `instruction`: it exports wharf:plugin/about@0.1.0, wharf:plugin/hook@0.1.0",
        ),
        (wat::parse_str("(component)").unwrap(), "it exports nothing"),
        (wat::parse_str(http).unwrap(), "does not get: wasi:http/outgoing-handler@0.2.0"),
        (
            wat::parse_str(other_version).unwrap(),
            "built for version 0.2.0 of the contract, and this is version 0.1.0",
        ),
        (b"\x7fELF\x02\x01\x01".to_vec(), "native library"),
    ] {
        let mut shelf = Shelf::new();
        shelf.add("hello", "instruction", &bytes, "");
        let error = shelf.plugins().keywords().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.next_step().is_some(), "{error}");
    }
}

#[test]
fn what_is_compared_is_name_and_range() {
    let text = trapping();
    let load = |text: String| {
        let mut shelf = Shelf::new();
        shelf.add("hello", "instruction", &wat::parse_str(text).unwrap(), "");
        shelf.plugins().keywords().map(|keywords| keywords.len())
    };
    assert_eq!(load(text.replace("@0.1.0", "@0.1.7")).unwrap(), 1);
    for (text, words, next) in [
        (text.replace("about@0.1.0", "aboot@0.1.0"), "does not fulfil the contract `instruction`", "about"),
        (
            text.replace("host@0.1.0", "host@0.3.0"),
            "version 0.3.0 of the contract, and this is version 0.1.0",
            "wit",
        ),
        (
            text.replace("host@0.1.0", "hosts@0.1.3"),
            "version 0.1.3 of the contract, and this is version 0.1.0",
            "wit",
        ),
        (
            text.replace("(field \"os\" string)", "(field \"system\" string)"),
            "does not fit the contract",
            "wharf plugin wit",
        ),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.to_string().starts_with("plugin `hello`: "), "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.next_step().unwrap().contains(next), "{error}");
    }
}

#[test]
fn a_wrong_digest_is_refused() {
    let mut shelf = Shelf::new();
    let bytes = instruction(NOTHING);
    let digest = Digest::of(&bytes);
    let path = shelf.add("hello", "instruction", &bytes, &format!("digest = \"{digest}\""));
    plan(&shelf.plugins()).unwrap();
    std::fs::write(path, instruction("(unreachable)")).unwrap();
    let error = plan(&shelf.plugins()).unwrap_err();
    assert!(matches!(error.fault(), Fault::Digest { expected, .. } if *expected == digest), "{error:?}");
}

pub(super) fn event() -> Event {
    let spec = ContainerSpec {
        id: "0".repeat(64),
        name: "a".into(),
        image: "b".into(),
        image_id: Digest::of("b"),
        argv: vec!["true".into()],
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
    };
    Event { subject: Subject::Container(spec), changes: vec![] }
}

#[test]
fn a_hook_that_takes_too_long_is_stopped_in_time() {
    let mut shelf = Shelf::new();
    let lines = format!("limits.time_ms = 50\nrequired = true\n{JUDGE}");
    shelf.add("slow", "hook", &hook("(loop (br 0)) (unreachable)"), &lines);
    let plugins = shelf.plugins();
    let hooks = plugins.hooks(Moment::Container, Phase::Judge);
    let [hook] = hooks.as_slice() else { panic!("one hook") };
    hook.subscriptions().unwrap();
    let start = Instant::now();
    let error = hook.judge(&event(), None).unwrap_err();
    assert!(matches!(error.fault(), Fault::Time { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(hook.required());
}

#[test]
fn a_hook_is_asked_for_what_it_subscribes_to_and_may() {
    let mut shelf = Shelf::new();
    shelf.add("yes", "hook", &hook("i32.const 4096"), JUDGE);
    shelf.add("not-granted", "hook", &hook("i32.const 4096"), "");
    shelf.add("elsewhere", "hook", &hook("i32.const 4096"), "phases = [\"build-op:judge\"]");
    shelf.add("broken", "hook", b"not a component", "required = true");
    let plugins = shelf.plugins();
    let names = |moment, phase| {
        let hooks = plugins.hooks(moment, phase);
        hooks.iter().map(|hook| hook.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(Moment::Container, Phase::Judge), ["yes", "broken"]);
    assert_eq!(names(Moment::BuildOp, Phase::Judge), ["elsewhere", "broken"]);
    assert_eq!(names(Moment::Container, Phase::Adjust), ["broken"]);
    let hooks = plugins.hooks(Moment::Container, Phase::Judge);
    assert_eq!(hooks.first().unwrap().judge(&event(), None).unwrap(), Verdict::Allow);
    assert!(hooks.last().unwrap().judge(&event(), None).is_err());
}
