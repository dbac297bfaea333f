//! Who answers to which keyword and to which driver's name.

use wharf_model::build::Outcome;

use super::{NOTHING, Shelf, instruction, owner, plan, shelf, statement};
use crate::testing::Fixed;
use crate::{Fault, Traced};

#[test]
fn a_keyword_claimed_twice_names_both_plugins() {
    let mut shelf = shelf(NOTHING, "");
    shelf.add("again", "instruction", &instruction(NOTHING), "");
    let error = shelf.plugins().keywords().unwrap_err();
    assert_eq!(error.to_string(), "plugin `again`: `HELLO` is claimed by the plugin `hello` too");
    assert!(error.next_step().unwrap().contains("[plugin.again]\nkeywords = { HELLO = \"MY_HELLO\" }"));
}

#[test]
fn a_renamed_keyword_reaches_the_plugin_under_its_own_name() {
    // Expands to the keyword it is called with: the record begins with its pointer and length.
    let body = "(i32.store (i32.const 8196) (i32.const 2)) (i32.store (i32.const 8200) (local.get 0))
                (i32.store (i32.const 8204) (i32.const 1)) (call $done (local.get 0)) (i32.const 8192)";
    let mut shelf = shelf(NOTHING, "");
    let lines = "keywords = { HELLO = \"BYE\" }\ngrants.ops = [\"expand\"]";
    shelf.add("again", "instruction", &instruction(body), lines);
    let plugins = shelf.plugins();
    let words: Vec<(String, String)> = plugins
        .keywords()
        .unwrap()
        .into_iter()
        .map(|(spec, name)| (spec.keyword.to_string(), name))
        .collect();
    assert_eq!(words, [("BYE".into(), "again".into()), ("HELLO".into(), "hello".into())]);
    let outcome = owner(&plugins, "BYE").unwrap().plan(&statement("BYE"), &mut Fixed::default());
    assert_eq!(outcome.unwrap(), Outcome::Expand(vec!["HELLO".into()]));
    assert!(plugins.instruction(&"NOBODY".parse().unwrap()).is_none());
}

#[test]
fn an_answer_of_the_context_reaches_the_plugin_and_the_trace() {
    // `option<string>` at 200: a tag, a pointer and a length; the latter two are a list's item.
    let body = "(call $arg (i32.load offset=76 (local.get 0)) (i32.const 112) (i32.const 7) (i32.const 200))
                (i32.store (i32.const 8196) (i32.const 2)) (i32.store (i32.const 8200) (i32.const 204))
                (i32.store (i32.const 8204) (i32.const 1)) (call $done (local.get 0)) (i32.const 8192)";
    let shelf = shelf(body, "grants.ops = [\"expand\"]");
    let plugins = shelf.plugins();
    assert_eq!(plan(&plugins).unwrap(), Outcome::Expand(vec!["1.2".into()]));

    let mut fixed = Fixed::default();
    fixed.args.insert("VERSION".into(), "7".into());
    let mut traced = Traced::new(&mut fixed);
    let hello = owner(&plugins, "HELLO").unwrap();
    assert_eq!(hello.plan(&statement("HELLO"), &mut traced).unwrap(), Outcome::Expand(vec!["7".into()]));
    let trace = traced.finish();
    assert_eq!(trace.replay(&mut fixed), Ok(()));
    fixed.args.clear();
    assert_eq!(trace.replay(&mut fixed).unwrap_err().question.to_string(), "arg VERSION");
}

#[test]
fn the_cache_key_covers_what_a_plan_depends_on() {
    let key = |lines: &str, keyword: &str| {
        let shelf = shelf(NOTHING, lines);
        owner(&shelf.plugins(), keyword).unwrap().cache_key(&statement(keyword))
    };
    let plain = key("", "HELLO");
    assert_eq!(plain, key("", "HELLO"));
    for other in [
        key("settings.a = 1", "HELLO"),
        key("grants.ops = [\"exec\"]", "HELLO"),
        key("keywords = { HELLO = \"BYE\" }", "BYE"),
    ] {
        assert_ne!(plain, other);
    }
}

#[test]
fn drivers_are_looked_for_among_drivers() {
    let shelf = shelf(NOTHING, "");
    let plugins = shelf.plugins();
    assert!(plugins.storage("hello", &Default::default).is_none());
    assert!(plugins.network("hello", &Default::default).is_none());
    assert!(plugins.grants("hello").is_ok());
    assert!(plugins.grants("other").is_err());
}

#[test]
fn a_cached_plugin_of_another_world_is_refused_like_a_fresh_one() {
    let first = shelf(NOTHING, "");
    plan(&first.plugins()).unwrap();
    let mut second = Shelf { toml: String::new(), ..first };
    second.add("hello", "storage", &instruction(NOTHING), "");
    let error = second.plugins().storage("hello", &Default::default).unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(error.fault(), Fault::World { .. }), "{error:?}");
    assert_eq!(error.next_step().as_deref(), Some("write `world = \"instruction\"`"));
}
