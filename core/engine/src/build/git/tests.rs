use super::*;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

#[test]
fn a_name_is_a_branch_before_it_is_a_tag() {
    let listing = format!(
        "{ONE}\tHEAD\n{ONE}\trefs/heads/both\n{TWO}\trefs/heads/x/both\n{TWO}\trefs/tags/both\n\
         {ONE}\trefs/tags/v1\n{TWO}\trefs/tags/v1^{{}}\nnonsense\n"
    );
    for (name, found) in [
        ("HEAD", Some((ONE, "HEAD"))),
        ("both", Some((ONE, "refs/heads/both"))),
        ("refs/tags/both", Some((TWO, "refs/tags/both"))),
        ("tags/both", Some((TWO, "refs/tags/both"))),
        ("x/both", Some((TWO, "refs/heads/x/both"))),
        ("v1", Some((TWO, "refs/tags/v1"))),
        ("v2", None),
    ] {
        let expected = found.map(|(commit, full)| (commit.to_owned(), full.to_owned()));
        assert_eq!(chosen(&listing, name), expected, "{name}");
    }
}

#[test]
fn addresses_of_repositories_are_told_from_paths() {
    for (text, url, reference, directory) in [
        ("https://a/b.git", "https://a/b.git", None, ""),
        ("https://a/b.git#main", "https://a/b.git", Some("main"), ""),
        ("https://a/b.git#main:docs/x", "https://a/b.git", Some("main"), "docs/x"),
        ("git://a/b#:/docs/./x/", "git://a/b", None, "docs/x"),
        ("git@a:b/c#v1", "git@a:b/c", Some("v1"), ""),
        ("ssh://git@a/b", "ssh://git@a/b", None, ""),
    ] {
        let address = Address::parse(text).unwrap_or_else(|| panic!("{text}"));
        let found = (&*address.source.url, address.source.reference.as_deref(), &*address.directory);
        assert_eq!(found, (url, reference, directory), "{text}");
    }
    let others = [
        ".",
        "./b.git",
        "https://a/b.tar.gz",
        "file:///a/b.git",
        "ext::sh -c true",
        "git://",
        "git://-x/b",
        "-x@a:b",
        "a@-x:b",
        "https://a/b.git#m:../x",
    ];
    for text in others {
        assert_eq!(Address::parse(text), None, "{text}");
    }
}

#[test]
fn what_git_would_misread_is_refused_before_it_runs() {
    let source = |url: &str, reference: &str| Source {
        url: url.into(),
        reference: Some(reference.into()),
        checksum: None,
        keep_git_dir: false,
    };
    for (url, reference) in [
        ("--upload-pack=touch /tmp/x", "main"),
        ("ext::sh -c true", "main"),
        ("file:///etc", "main"),
        ("/etc", "main"),
        ("https://a/b.git", "--upload-pack=x"),
        ("https://a/b.git", "a b"),
    ] {
        let refused = source(url, reference).pin().unwrap_err();
        assert!(matches!(refused, GitError::Address { .. }), "{url} {reference}: {refused}");
    }
}

#[test]
fn a_commit_is_compared_with_its_checksum() {
    let source = |checksum: &str| Source {
        url: "https://a/b.git".into(),
        reference: Some(ONE.into()),
        checksum: Some(checksum.into()),
        keep_git_dir: false,
    };
    assert_eq!(source("1111").pin().unwrap().key(), ONE);
    let text = source("2222").pin().unwrap_err().to_string();
    assert_eq!(text, format!("https://a/b.git#{ONE} is commit {ONE}, expected 2222"));
}

#[test]
fn messages_hold_no_password() {
    for (url, shown) in [
        ("https://user:secret@a/b.git", "https://***@a/b.git"),
        ("https://a/b@c.git", "https://a/b@c.git"),
        ("git@a:b", "git@a:b"),
    ] {
        assert_eq!(address::without_password(url), shown);
    }
}
