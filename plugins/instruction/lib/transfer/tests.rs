use super::*;
use wharf_sdk::instruction::Action;
use wharf_sdk::testing::{call, words};

fn plan(call: &Invocation) -> Plan {
    match Transfer::read(call).and_then(|transfer| transfer.plan()) {
        Ok(Outcome::Plan(plan)) => plan,
        other => panic!("not a plan: {other:?}"),
    }
}

fn copies(plan: &Plan) -> Vec<&CopyFiles> {
    plan.ops
        .iter()
        .filter_map(|op| match &op.action {
            Action::Copy(copy) => Some(copy),
            _ => None,
        })
        .collect()
}

#[test]
fn several_sources_need_a_directory() {
    for (line, allowed) in [
        ("a b", true),
        ("a b c", false),
        ("a b c/", true),
        ("a b .", true),
        ("a b /", true),
        ("a b c/..", true),
        ("*.txt dest", true),
    ] {
        assert_eq!(Transfer::read(&words("COPY", line)).is_ok(), allowed, "for {line}");
    }
    let one = Transfer::read(&words("COPY", "a")).unwrap_err();
    assert!(one.message().ends_with("Destination could not be determined"));
    assert!(Transfer::read(&words("COPY", "")).is_err());
}

#[test]
fn an_empty_source_is_everything() {
    let body = Body::Words(vec!["a".into(), String::new(), "/dest/".into()]);
    let transfer = Transfer::read(&Invocation { body, ..words("COPY", "a b") }).unwrap();
    assert_eq!(transfer.sources, ["a", "/"]);
}

#[test]
fn files_of_one_statement_are_one_copy() {
    let call = words("COPY", "a b /dest/").with_flag("chown", "app:staff").with_flag("chmod", "u=rwX,go=rX");
    let plan = plan(&call.with_flag("exclude", "*.md").with_switch("link"));
    let expected = CopyFiles {
        owner: Some(Owner { user: "app".into(), group: Some("staff".into()) }),
        mode: Some(ModeChange::Symbolic("u=rwX,go=rX".into())),
        excludes: vec!["*.md".into()],
        link: true,
        ..CopyFiles::new(Input::Stage, Input::Local, vec!["a".into(), "b".into()], "/dest/")
    };
    assert_eq!(copies(&plan), [&expected]);
    assert_eq!((plan.ops.len(), plan.rootfs), (1, Input::Op(0)));
}

#[test]
fn heredocs_are_files_that_are_copied() {
    let call = words("COPY", "<<robots.txt <<-'humans.txt' file /test/")
        .with_heredoc("robots.txt", "(robots)\n")
        .with_heredoc("humans.txt", "(humans)\n");
    let plan = plan(&call);
    let copies = copies(&plan);
    assert_eq!(plan.ops.len(), 4);
    assert_eq!(copies[0].paths, ["file"]);
    assert_eq!(copies[1].paths, ["robots.txt", "humans.txt"]);
    assert_eq!(
        (&copies[1].source, &copies[1].base, &plan.rootfs),
        (&Input::Op(2), &Input::Op(0), &Input::Op(3))
    );
    assert_eq!(plan.ops[2].action, Write::new(Input::Op(1), "/humans.txt", "(humans)\n").into());
}

#[test]
fn a_heredoc_must_be_a_file_name() {
    let call = words("COPY", "<<../x /dest").with_heredoc("../x", "");
    assert!(Transfer::read(&call).unwrap().plan().is_err());
    let json = call_json(&["<<EOF", "/x"]).with_heredoc("EOF", "");
    assert_eq!(Transfer::read(&json).unwrap().sources, ["<<EOF"]);
}

fn call_json(list: &[&str]) -> Invocation {
    call("COPY", Body::Json(list.iter().map(|word| (*word).into()).collect()))
}

#[test]
fn remote_files_are_fetched_and_private() {
    let plan = plan(&words("ADD", "http://www.baidu.com /root"));
    let http =
        HttpSource { url: "http://www.baidu.com".into(), checksum: None, filename: "index.html".into() };
    assert_eq!(plan.ops[0].action, http.into());
    assert_eq!(copies(&plan)[0].mode, None, "the engine gives a download its mode");
    assert_eq!(copies(&plan)[0].source, Input::Op(0));
    assert_eq!(plan.diagnostics[0].code, "AddUnnamedUrl");
    assert_eq!(plan.rootfs, Input::Op(1));
}

#[test]
fn an_owner_may_be_a_group_alone_or_nothing() {
    let group = Owner { user: String::new(), group: Some("staff".into()) };
    for (chown, expected) in [(":staff", Some(group)), ("", None)] {
        let call = words("COPY", "a /b").with_flag("chown", chown).with_flag("chmod", "");
        let plan = plan(&call);
        assert_eq!((&copies(&plan)[0].owner, &copies(&plan)[0].mode), (&expected, &None), "for {chown:?}");
    }
    assert!(owner(":").is_err());
}

#[test]
fn modes_are_octal_or_symbolic() {
    for (text, expected) in [
        ("755", Some(ModeChange::Bits(0o755))),
        ("04755", Some(ModeChange::Bits(0o4755))),
        ("+x", Some(ModeChange::Symbolic("+x".into()))),
        ("g=u", Some(ModeChange::Symbolic("g=u".into()))),
        ("a+r-w", Some(ModeChange::Symbolic("a+r-w".into()))),
        ("10000", None),
        ("0o755", None),
        ("8", None),
        ("", None),
        ("u", None),
        ("x=r", None),
        ("u=rq", None),
        ("u=rw,", None),
    ] {
        assert_eq!(mode(text).ok(), expected, "for {text:?}");
    }
}

#[test]
fn names_from_elsewhere_are_not_patterns() {
    assert_eq!(literal("a*[1].txt"), "a\\*\\[1].txt");
}
