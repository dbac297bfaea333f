use std::collections::BTreeMap;

use wharf_model::statement::{FlagSpec, Invocation};

use super::*;

fn flag(name: &str, takes_value: bool, repeatable: bool) -> FlagSpec {
    FlagSpec { name: name.into(), takes_value, repeatable, expands_variables: true, doc: String::new() }
}

fn keywords() -> Keywords {
    let spec = |word: &str, body, expands_variables, heredocs| KeywordSpec {
        keyword: word.parse().unwrap(),
        summary: String::new(),
        body,
        expands_variables,
        heredocs,
        flags: vec![flag("from", true, false), flag("mount", true, true), flag("link", false, false)],
        before_from: word == "ARG",
        starts_stage: word == "FROM",
    };
    Keywords::new([
        spec("FROM", BodyKind::Words, true, false),
        spec("RUN", BodyKind::JsonOrText, false, true),
        spec("COPY", BodyKind::JsonOrWords, true, true),
        spec("ENV", BodyKind::Pairs, true, false),
        spec("ARG", BodyKind::Assignments, true, false),
        spec("EXPOSE", BodyKind::Words, true, false),
        spec("USER", BodyKind::Text, true, false),
        spec("ONBUILD", BodyKind::Text, false, true),
        KeywordSpec { flags: vec![], ..spec("MAINTAINER", BodyKind::Text, false, false) },
        spec("HEALTHCHECK", BodyKind::Text, false, false),
        spec("CMD", BodyKind::JsonOrText, false, false),
    ])
}

fn parsed(text: &str) -> Dockerfile {
    parse("Dockerfile", text.as_bytes(), &keywords()).unwrap()
}

fn refused(text: &str) -> String {
    let keywords = keywords();
    let error = parse("Dockerfile", text.as_bytes(), &keywords)
        .and_then(|file| file.check(&keywords))
        .expect_err(text);
    error.to_string()
}

fn scope() -> BTreeMap<String, String> {
    [("a", "old"), ("ports", "80 443"), ("two", "x y")].map(|(k, v)| (k.into(), v.into())).into()
}

fn invoked(text: &str) -> Invocation {
    let keywords = keywords();
    let file = parsed(text);
    let statement = &file.statements[0];
    let spec = statement.check(&keywords).unwrap();
    read(statement, spec, file.escape, &scope(), None).unwrap().invocation
}

#[test]
fn lines_are_joined_and_comments_dropped() {
    for (text, original, lines) in [
        ("RUN a", "RUN a", (1, 1)),
        ("\n  RUN a \\\n  b", "RUN a   b", (2, 3)),
        ("RUN a \\  \n# note\n  b", "RUN a   b", (1, 3)),
        ("RUN a \\\n\n b", "RUN a  b", (1, 3)),
        ("RUN a \\\\\nUSER b", "RUN a \\\\", (1, 1)),
        ("RUN a # b", "RUN a # b", (1, 1)),
        ("\u{feff}RUN a\r\n", "RUN a", (1, 1)),
        ("RUN a \\\r\n b\r\n", "RUN a  b", (1, 2)),
        ("# escape=`\nRUN a `\nb", "RUN a b", (2, 3)),
        ("\\\nRUN a", "RUN a", (1, 2)),
        ("RUN a \\", "RUN a ", (1, 1)),
    ] {
        let statement = &parsed(text).statements[0];
        assert_eq!(statement.original, original, "for {text:?}");
        assert_eq!((statement.span.line, statement.span.end_line), lines, "for {text:?}");
    }
}

#[test]
fn an_empty_continuation_line_is_a_warning() {
    let warnings = parsed("RUN a \\\n\n b").warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].code, "NoEmptyContinuation");
}

#[test]
fn another_language_is_a_warning() {
    for ours in [
        "docker/dockerfile:1",
        "docker.io/docker/dockerfile:1.7-labs@sha256:0",
        "r.io:5000/docker/dockerfile",
    ] {
        assert!(parsed(&format!("# syntax={ours}\nRUN a")).warnings.is_empty(), "{ours}");
    }
    assert_eq!(parsed("# syntax=r.io/mydocker/dockerfile\nRUN a").warnings.len(), 1);
    let warnings = parsed("# syntax=r.example:5000/own/frontend\nRUN a").warnings;
    assert_eq!((warnings.len(), warnings[0].code.as_str()), (1, "UnknownSyntax"));
    assert!(warnings[0].message.contains("frontend r.example:5000/own/frontend is not used"));
    assert_eq!(warnings[0].span.as_ref().map(|span| (span.line, span.end_line)), Some((1, 1)));
}

#[test]
fn directives_end_with_the_first_other_line() {
    let file = parsed("# syntax = a/b:1\n#escape=`\n# check=skip=all\nRUN a");
    assert_eq!((file.directive("syntax"), file.escape), (Some("a/b:1"), '`'));
    assert_eq!(file.directive("check"), Some("skip=all"));
    for text in ["# note\n# escape=`\nRUN a", "\n# escape=`\nRUN a", "# other=x\n# escape=`\nRUN a"] {
        assert_eq!(parsed(text).escape, '\\', "for {text:?}");
    }
    assert!(refused("# escape=`\n# escape=`\nRUN a").contains("only one escape"));
    assert!(refused("# escape=x\nRUN a").contains("invalid escape token"));
}

#[test]
fn a_syntax_is_found_in_other_shapes() {
    for (text, found) in [
        ("#!/usr/bin/x\n# syntax=a\n", Some(("a", 2))),
        ("#!/usr/bin/x\n\n# syntax=a\n", None),
        ("#!/usr/bin/x\n//syntax=a\n", Some(("a", 2))),
        ("// check=skip=all\n// syntax=b c\nx", Some(("b", 2))),
        ("{\"syntax\": \"d\"}", Some(("d", 1))),
        ("{\"syntax\": \"d\"}\n# syntax=e", None),
        ("FROM x\n# syntax=a", None),
    ] {
        let directives = directives("Dockerfile", text.as_bytes());
        let syntax: Vec<_> = directives.iter().map(|one| (one.frontend(), one.span.line)).collect();
        assert_eq!(syntax, found.into_iter().collect::<Vec<_>>(), "for {text:?}");
    }
}

#[test]
fn behind_an_interpreter_s_line_a_check_counts_and_an_escape_does_not() {
    let file = parsed("#!/usr/bin/env x\n# check=skip=all\n# escape=`\nRUN a `\n");
    assert_eq!((file.directive("check"), file.directive("escape")), (Some("skip=all"), None));
    assert_eq!((file.escape, file.statements[0].original.as_str()), ('\\', "RUN a `"));
}

#[test]
fn bytes_that_are_no_utf_8_are_fine_in_comments_only() {
    let parse = |text: &[u8]| parse("Dockerfile", text, &keywords());
    assert!(parse(b"\xef\xbb\xbf# na\xefve\nRUN a \\\n # \xe9\n b").is_ok());
    for (text, line, said) in [
        (&b"RUN a\nRUN echo caf\xe9"[..], 2, "Dockerfile:2: line 2 is no UTF-8: it holds the byte 0xe9"),
        (b"RUN a \\\n  \xff b", 2, "Dockerfile:2: line 2 is no UTF-8: it holds the byte 0xff"),
        (b"COPY <<E /x\n# \xe9\nE", 1, "Dockerfile:1: line 2 is no UTF-8: it holds the byte 0xe9"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.span.line, error.to_string().as_str()), (line, said));
        assert!(error.hint().unwrap().contains("UTF-8"));
    }
}

#[test]
fn what_a_stage_is_called_is_taken_as_written() {
    let words = |text: &str| match invoked(text).body {
        Body::Words(words) => words,
        other => panic!("not words: {other:?}"),
    };
    assert_eq!(words("FROM $a AS $a"), ["old", "AS", "$a"]);
    assert_eq!(words("FROM \"$a\" AS \"b\""), ["old", "AS", "\"b\""]);
}

#[test]
fn bodies_are_read_as_the_keyword_asks() {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    for (text, body) in [
        ("run echo  a", Body::Text("echo  a".into())),
        ("RUN [\"a\", \"b c\"]", Body::Json(words(&["a", "b c"]))),
        ("RUN ['a']", Body::Text("['a']".into())),
        ("RUN [ -f x ] && y", Body::Text("[ -f x ] && y".into())),
        ("COPY \"a b\"\t/x", Body::Words(words(&["\"a", "b\"", "/x"]))),
        ("ENV a b  c", Body::Pairs { items: vec![("a".into(), "b  c".into())], legacy: true }),
        ("ENV ONE TWO= x=y", Body::Pairs { items: vec![("ONE".into(), "TWO= x=y".into())], legacy: true }),
        (
            "ENV a='b c' d=e\\ f",
            Body::Pairs {
                items: vec![("a".into(), "'b c'".into()), ("d".into(), "e\\ f".into())],
                legacy: false,
            },
        ),
        ("ARG a b=c", Body::Assignments(vec![("a".into(), None), ("b".into(), Some("c".into()))])),
        ("WHAT ever [1]", Body::Text("ever [1]".into())),
    ] {
        assert_eq!(parsed(text).statements[0].body, body, "for {text:?}");
    }
}

#[test]
fn flags_are_taken_off_the_body() {
    for (text, flags, rest) in [
        ("RUN --mount=a,b --link x --y", vec!["--mount=a,b", "--link"], "x --y"),
        ("RUN --mount='a b' x", vec!["--mount=a b"], "x"),
        ("RUN -- --x", vec![], "--x"),
        ("RUN --", vec![], ""),
        ("RUN -x", vec![], "-x"),
    ] {
        let statement = &parsed(text).statements[0];
        assert_eq!(statement.flags, flags, "for {text:?}");
        assert_eq!(statement.body, Body::Text(rest.into()), "for {text:?}");
    }
}

#[test]
fn errors_name_the_line_and_the_thing() {
    for (text, message) in [
        ("", "Dockerfile:1: file with no instructions"),
        ("# only\n\n", "Dockerfile:1: file with no instructions"),
        ("USER a\nCOYP a b", "Dockerfile:2: unknown instruction: COYP"),
        ("{{ x }}", "Dockerfile:1: unknown instruction: {{"),
        ("RUN [1]", "arrays must be comprised of strings only"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=b c", "cannot find = in `c`"),
        ("RUN <<EOF\na", "unterminated heredoc `EOF`"),
        ("RUN --form=a x", "unknown flag: --form"),
        ("RUN --from=a --from=b x", "duplicate flag specified: --from"),
        ("RUN --from x", "missing a value on flag: --from"),
        ("RUN --link=maybe x", "expecting boolean value for flag --link"),
    ] {
        assert!(refused(text).contains(message), "for {text:?}: {}", refused(text));
    }
}

#[test]
fn a_misspelt_word_gets_a_hint() {
    let keywords = keywords();
    let hint = |text: &str| parsed(text).check(&keywords).unwrap_err().hint();
    assert_eq!(hint("COYP a b").as_deref(), Some("did you mean COPY?"));
    assert_eq!(hint("RUN --form=a b").as_deref(), Some("did you mean --from?"));
    assert_eq!(hint("SOMETHING else"), None);
}

#[test]
fn a_statement_in_a_statement_is_read_like_any_other() {
    for (text, words, flags, body) in [
        ("ONBUILD RUN --mount=a make  all", vec!["RUN", "make  all"], vec!["--mount=a"], "Text"),
        ("ONBUILD run [\"a b\", \"c\"]", vec!["run", "a b", "c"], vec![], "Json"),
        ("ONBUILD COPY --from=x a b", vec!["COPY", "a", "b"], vec!["--from=x"], "Words"),
        ("HEALTHCHECK --from=1s CMD [\"a\", \"b\"]", vec!["CMD", "a", "b"], vec![], "Json"),
        ("HEALTHCHECK cmd curl -f x || exit 1", vec!["cmd", "curl -f x || exit 1"], vec![], "Text"),
        ("HEALTHCHECK CMD", vec!["CMD"], vec![], "Text"),
    ] {
        let file = parsed(text);
        let inner = file.statements[0].inner.as_deref().unwrap_or_else(|| panic!("no statement in {text:?}"));
        assert_eq!((file.statements[0].words(), &inner.flags[..]), (to_owned(&words), &to_owned(&flags)[..]));
        assert!(format!("{:?}", inner.body).starts_with(body), "{:?}", inner.body);
        assert!(text.ends_with(&inner.original) && matches!(file.statements[0].body, Body::Text(_)));
    }
    for text in ["HEALTHCHECK NONE", "MAINTAINER run it", "ONBUILD NOPE x", "RUN copy a b"] {
        assert_eq!(parsed(text).statements[0].inner, None, "for {text:?}");
    }
    assert!(refused("ONBUILD RUN [1]").contains("strings only"));
    assert!(refused("HEALTHCHECK CMD [1]").contains("strings only"));
}

fn to_owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn heredocs_belong_to_the_line_that_announces_them() {
    let file = parsed("COPY <<a.txt <<-\"b\" /x/\n$y\na.txt\n\t$z\n\tb\nUSER me");
    let copy = &file.statements[0];
    let heredoc = |name: &str, expand, chomp, content: &str| Heredoc {
        name: name.into(),
        expand,
        chomp,
        content: content.into(),
    };
    assert_eq!(copy.heredocs, [heredoc("a.txt", true, false, "$y\n"), heredoc("b", false, true, "$z\n")]);
    assert_eq!((copy.span.line, copy.span.end_line), (1, 5));
    assert_eq!(file.statements[1].span.line, 6);
}

#[test]
fn what_only_looks_like_a_heredoc_is_none() {
    for text in [
        "RUN cat <<<EOF",
        "RUN echo '<<EOF'",
        "RUN [\"<<EOF\"]",
        "RUN a<<EOF",
        "USER <<EOF",
        "ONBUILD USER <<EOF",
        "ONBUILD RUN [\"<<EOF\"]",
    ] {
        assert_eq!(parsed(text).statements[0].heredocs, [], "for {text:?}");
    }
    for text in ["RUN 3<<EOF cat\nx\nEOF", "ONBUILD RUN <<EOF\nx\nEOF", "RUN cat << EOF\nx\nEOF"] {
        assert_eq!(parsed(text).statements[0].heredocs.len(), 1, "for {text:?}");
    }
}

#[test]
fn variables_are_expanded_where_the_keyword_asks() {
    for (text, body) in [
        ("RUN echo $a", Body::Text("echo $a".into())),
        ("USER $a:\"$two\"", Body::Text("old:x y".into())),
        ("EXPOSE $ports 1", Body::Words(vec!["80".into(), "443".into(), "1".into()])),
        ("FROM $two", Body::Words(vec!["x y".into()])),
        ("COPY $two /d", Body::Words(vec!["x y".into(), "/d".into()])),
        ("COPY [\"$a\", \"/d\"]", Body::Json(vec!["old".into(), "/d".into()])),
    ] {
        assert_eq!(invoked(text).body, body, "for {text:?}");
    }
}

#[test]
fn pairs_see_the_line_before_and_assignments_each_other() {
    let pairs = invoked("ENV a=new b=$a 'c d'=\"$a x\"").body;
    let items = vec![("a", "new"), ("b", "old"), ("c d", "old x")];
    let items = items.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
    assert_eq!(pairs, Body::Pairs { items, legacy: false });
    let assignments = invoked("ARG a=new b=$a c").body;
    let items = vec![("a", Some("new")), ("b", Some("new")), ("c", None)];
    let items = items.into_iter().map(|(k, v)| (k.into(), v.map(str::to_owned))).collect();
    assert_eq!(assignments, Body::Assignments(items));
}

#[test]
fn an_invocation_holds_flags_and_heredocs() {
    let copy = invoked("COPY --from=$a --link <<x y /d\nit's $a\nx\n");
    assert_eq!(copy.flags, [("from".into(), Some("old".into())), ("link".into(), None)]);
    assert_eq!(copy.body, Body::Words(vec!["<<x".into(), "y".into(), "/d".into()]));
    assert_eq!(copy.heredocs[0].content, "it's old\n");
    let quoted = invoked("COPY <<'x' /d\n$a\nx\n");
    assert_eq!(quoted.heredocs[0].content, "$a\n");
    assert_eq!(invoked("RUN <<x\n$a\nx\n").heredocs[0].content, "$a\n");
}

#[test]
fn a_word_that_cannot_be_expanded_says_why() {
    let keywords = keywords();
    let file = parsed("USER x\nUSER ${a");
    let statement = &file.statements[1];
    let spec = statement.check(&keywords).unwrap();
    let error = read(statement, spec, '\\', &scope(), None).unwrap_err();
    assert_eq!(error.to_string(), "Dockerfile:2: cannot expand `${a`");
    assert!(error.diagnostic().message.ends_with("looking for matching '}'"));
}

#[test]
fn lines_in_place_of_a_statement_stand_where_it_stood() {
    let at = Span { file: "Dockerfile".into(), line: 7, column: 1, end_line: 7, end_column: 9 };
    let lines = ["RUN <<EOF".to_owned(), "# escape=`".into(), "EOF".into(), "USER a".into()];
    let statements = parse_lines(&lines, &at, '\\', &keywords()).unwrap();
    assert_eq!(statements.len(), 2);
    assert!(statements.iter().all(|statement| statement.span == at));
    assert_eq!(parse_lines(&[], &at, '\\', &keywords()), Ok(vec![]));
}

#[test]
fn lines_of_another_file_have_its_numbers() {
    let at = Span { file: "Dockerfile".into(), line: 7, column: 1, end_line: 7, end_column: 9 };
    let lines =
        ["#line 1 \"a/common file\"", "# a comment", "RUN a \\", " b", "", "RUN c"].map(str::to_owned);
    let places = |lines: &[String]| -> Vec<(String, u32, u32)> {
        let statements = parse_lines(lines, &at, '\\', &keywords()).unwrap();
        statements.into_iter().map(|it| (it.span.file, it.span.line, it.span.end_line)).collect()
    };
    assert_eq!(places(&lines), [("a/common file".to_owned(), 2, 3), ("a/common file".to_owned(), 5, 5)]);
    let error = parse_lines(&["#line 4 \"b\"".into(), "ENV a".into()], &at, '\\', &keywords()).unwrap_err();
    assert_eq!((error.span.file.as_str(), error.span.line), ("b", 4));
    for no_origin in ["#line 0 \"b\"", "#line x \"b\"", "#line 3 b", "# line 3 \"b\"", "#line 3 \"\""] {
        let found = places(&[no_origin.to_owned(), "RUN c".into()]);
        assert_eq!(found, [("Dockerfile".to_owned(), 7, 7)], "{no_origin}");
    }
}

#[test]
fn an_excerpt_marks_the_lines_and_shows_no_control_characters() {
    let text = b"FROM a\nRUN b\nRUN \x1b[31mc\nRUN d\nRUN e\nRUN f\n";
    let span = Span { file: "Dockerfile".into(), line: 3, column: 1, end_line: 4, end_column: 1 };
    let expected = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     RUN b\n   3 | >>> RUN \\u{1b}[31mc\n   \
                    4 | >>> RUN d\n   5 |     RUN e\n   6 |     RUN f\n--------------------\n";
    assert_eq!(excerpt(text, &span), expected);
}

#[test]
fn statements_are_printable_as_json() {
    let json = serde_json::to_value(parsed("# note\nCOPY a /b")).unwrap();
    let statement = &json["statements"][0];
    assert_eq!(statement["keyword"], "COPY");
    assert_eq!(statement["original"], "COPY a /b");
    assert_eq!(statement["span"]["line"], 2);
    assert_eq!(statement["comments"][0], "note");
}
