use super::*;

fn scope() -> BTreeMap<String, String> {
    [("dir", "/srv"), ("empty", ""), ("list", "80 443"), ("file", "a.tar.gz"), ("ünï", "straße")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn expand(text: &str) -> Result<String, WordError> {
    Lexer::new('\\').word(text, &scope()).map(|expanded| expanded.text)
}

#[test]
fn quotes_and_escapes() {
    for (text, word) in [
        ("plain", "plain"),
        ("a'b'c", "abc"),
        (r"a\'b", "a'b"),
        (r"a\tb", "atb"),
        (r#""a\tb""#, r"a\tb"),
        (r#""a\\b""#, r"a\b"),
        (r"'a\b'", r"a\b"),
        (r"end\", "end"),
        (r"end\\", r"end\"),
        (r#""it's""#, "it's"),
        ("'$dir'", "$dir"),
        (r"\$dir", "$dir"),
        (r"\\$dir", r"\/srv"),
        (r#""\$dir $dir""#, "$dir /srv"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(word), "for {text}");
    }
}

#[test]
fn variables() {
    for (text, word) in [
        ("x$dir/y", "x/srv/y"),
        ("${dir}y", "/srvy"),
        ("$none.", "."),
        ("$.", "$."),
        ("$1x $$ $@", "x  "),
        ("$ünï", "straße"),
        ("${none:-a${dir}b}", "a/srvb"),
        ("${empty-x}|${empty:-x}|${none-x}", "|x|x"),
        ("${dir+x}${empty:+y}${none+z}", "x"),
        ("${dir?}${empty?}", "/srv"),
        (r"${none:-\${dir}z}", "${dirz}"),
        ("${none}}", "}"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(word), "for {text}");
    }
}

#[test]
fn patterns_in_substitutions() {
    for (text, word) in [
        ("${file#*.}", "tar.gz"),
        ("${file##*.}", "gz"),
        ("${file%.*}", "a.tar"),
        ("${file%%.*}", "a"),
        ("${file%.zip}", "a.tar.gz"),
        ("${file/a/o}", "o.tar.gz"),
        ("${file//a/o}", "o.tor.gz"),
        ("${file//./}", "atargz"),
        ("${file/t*r/zip}", "a.zip.gz"),
        (r"${dir//\//_}", "_srv"),
        ("${file#a?t}", "ar.gz"),
        ("${none#a}", ""),
        ("${ünï/ß/ss}", "strasse"),
    ] {
        assert_eq!(expand(text).as_deref(), Ok(word), "for {text}");
    }
}

#[test]
fn what_is_not_closed_or_not_known_is_refused() {
    for text in [
        "a'b",
        "\"a",
        r#""a\""#,
        "${",
        "${}",
        "${{dir}",
        "${:-x}",
        "${dir",
        "${none:-x",
        "${dir=x}",
        "${dir:=x}",
        "${dir:x}",
        "${.}",
        "${none?}",
        "${empty:?}",
        "${file/a",
        "${file/a/b",
        "${file:#a}",
        r"${file#\a}",
    ] {
        assert!(expand(text).is_err(), "for {text}: {:?}", expand(text));
    }
    let message = expand("${none?set it with --build-arg}").unwrap_err().to_string();
    assert_eq!(message, "none: set it with --build-arg");
    assert_eq!(expand(&"${none:-".repeat(5000)), Err(WordError::Depth));
}

#[test]
fn words_are_split_after_expansion() {
    for (text, words) in [
        ("a  b", vec!["a", "b"]),
        ("$list/tcp", vec!["80", "443/tcp"]),
        ("\"$list\" x", vec!["80 443", "x"]),
        ("a\\ b 'c d'e", vec!["a b", "c de"]),
        ("  ", vec![]),
    ] {
        assert_eq!(Lexer::new('\\').word(text, &scope()).unwrap().words, words, "for {text}");
    }
}

#[test]
fn the_variables_looked_up_are_told() {
    let expanded = Lexer::new('`').word("$dir ${nope:-x} `$file", &scope()).unwrap();
    assert_eq!(expanded.text, "/srv x $file");
    assert_eq!(expanded.used, BTreeSet::from(["dir".to_owned()]));
    assert_eq!(expanded.unset, BTreeSet::from(["nope".to_owned()]));
}

#[test]
fn a_heredocs_text_keeps_its_quotes() {
    let lexer = Lexer { quotes: Quotes::Ignore, ..Lexer::new('\\') };
    assert_eq!(lexer.word("it's \"$dir\"\n", &scope()).unwrap().text, "it's \"/srv\"\n");
}
