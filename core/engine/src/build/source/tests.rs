use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// `dir/`, `link -> target`, and files that hold their own path.
fn tree(entries: &[&str]) -> (tempfile::TempDir, File) {
    let dir = tempfile::tempdir().unwrap();
    for entry in entries {
        let (path, target) = entry.split_once(" -> ").map_or((*entry, None), |(a, b)| (a, Some(b)));
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match target {
            Some(target) => symlink(target, path).unwrap(),
            None if entry.ends_with('/') => fs::create_dir_all(path).unwrap(),
            None => fs::write(path, entry).unwrap(),
        }
    }
    let fd = File::open(dir.path()).unwrap();
    (dir, fd)
}

fn source<'a>(fd: &'a File, ignore: Option<&'a Ignore>) -> Source<'a> {
    Source { root: fd.as_fd(), ignore, origin: Origin::Context, digests: None }
}

/// Everything that is shown, directories with a `/`.
#[derive(Default)]
struct List(Vec<String>);

impl Visitor for List {
    type Failure = SourceError;

    fn enter(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        self.0.push(format!("{}/", entry.path.display()));
        Ok(())
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        Ok(())
    }

    fn leaf(&mut self, entry: &Entry<'_>) -> Result<(), SourceError> {
        self.0.push(entry.path.display().to_string());
        Ok(())
    }
}

fn walked(source: &Source<'_>, path: &str, exclude: &str, parents: bool) -> Vec<String> {
    let excludes: Vec<String> = exclude.split_whitespace().map(str::to_owned).collect();
    let selection = Selection::of(source, &[path.to_owned()], &excludes, parents).unwrap();
    let mut list = List::default();
    for selected in &selection.entries {
        selection.walk(source, selected).run(&mut list).unwrap();
    }
    list.0
}

#[test]
fn walks_show_what_no_rule_leaves_out() {
    let (_dir, fd) = tree(&["a/x.c", "a/x.h", "b/c/y.c", "b/z.h", "e/", "l -> a"]);
    for (ignore, exclude, shown) in [
        ("", "", vec!["a/", "a/x.c", "a/x.h", "b/", "b/c/", "b/c/y.c", "b/z.h", "e/", "l"]),
        ("**\n!b/c", "", vec!["b/", "b/c/", "b/c/y.c"]),
        ("b", "*/*.h", vec!["a/", "a/x.c", "e/", "l"]),
        ("", "**/*.c", vec!["a/", "a/x.h", "b/", "b/c/", "b/z.h", "e/", "l"]),
        ("", "* !b/z.h", vec!["b/", "b/z.h"]),
        ("**", "", vec![]),
    ] {
        let rules = Ignore::parse(ignore).unwrap();
        assert_eq!(walked(&source(&fd, Some(&rules)), ".", exclude, false), shown, "{ignore:?} {exclude:?}");
    }
}

#[test]
fn parents_are_shown_with_what_matches() {
    let (_dir, fd) = tree(&["x/y/a.txt", "x/y/b.md", "x/z/a.txt", "q/a.txt"]);
    let source = source(&fd, None);
    for (path, shown) in [
        ("x/y/a.txt", vec!["x/", "x/y/", "x/y/a.txt"]),
        ("x/./y/*.txt", vec!["y/", "y/a.txt"]),
        ("./x/y/", vec!["x/", "x/y/", "x/y/a.txt", "x/y/b.md"]),
        ("**/a.txt", vec!["q/", "q/a.txt", "x/", "x/y/", "x/y/a.txt", "x/z/", "x/z/a.txt"]),
        ("x/*.txt", vec![]),
    ] {
        assert_eq!(walked(&source, path, "", true), shown, "for {path}");
    }
    let missing = Selection::of(&source, &["x/none".into()], &[], true);
    assert!(matches!(missing, Err(SourceError::NotFound { .. })));
}

#[test]
fn paths_select_files_and_directories() {
    let (_dir, fd) =
        tree(&["a.c", "b.c", "d/e/f", "l -> d/e/f", "dl -> d", "up -> ../../a.c", "gone -> nowhere"]);
    let source = source(&fd, None);
    for (path, found) in [
        ("a.c", vec![("a.c", "a.c")]),
        ("/../a.c", vec![("a.c", "a.c")]),
        ("l", vec![("l", "d/e/f")]),
        ("dl/e/f", vec![("f", "d/e/f")]),
        ("up", vec![("up", "a.c")]),
        ("*.c", vec![("a.c", "a.c"), ("b.c", "b.c")]),
        ("d/*/f", vec![("f", "d/e/f")]),
        ("dl/*", vec![("e", "d/e")]),
        ("g*", vec![("gone", "gone")]),
        ("*/e/f", vec![("f", "d/e/f")]),
        ("*.x", vec![]),
        ("none/*", vec![]),
        ("[a]*", vec![("a.c", "a.c")]),
        ("", vec![("", "")]),
    ] {
        let selection = Selection::of(&source, &[path.to_owned()], &[], false).unwrap();
        let selected = selection.entries.iter();
        let selected = selected.map(|one| (one.name.to_str().unwrap(), one.path.to_str().unwrap()));
        assert_eq!(selected.collect::<Vec<_>>(), found, "for {path}");
    }
    for (path, meant) in [
        ("a.x", Some("did you mean /a.c?")),
        ("D/e/ff", Some("did you mean /d/e/f?")),
        ("dl/x/f", Some("did you mean /dl/e/f?")),
        ("d/e/x/f", None),
        ("something", None),
    ] {
        let hint = source.find(path).unwrap_err().hint().unwrap();
        assert_eq!(
            hint,
            meant.unwrap_or("sources are looked up below the build context or the root of the stage")
        );
    }
    for path in ["none", "gone", "a.c/x"] {
        assert!(Selection::of(&source, &[path.to_owned()], &[], false).is_err(), "for {path}");
    }
}

#[test]
fn ignored_sources_are_not_found() {
    let (_dir, fd) = tree(&["s/1/2/f", "s/g", "l -> s/g"]);
    let rules = Ignore::parse("**\n!s/1/2").unwrap();
    let source = source(&fd, Some(&rules));
    for path in ["s", "s/1", "s/1/2", "s/1/2/f", "/"] {
        assert!(source.find(path).is_ok(), "for {path}");
    }
    let hidden = source.find("s/g").unwrap_err();
    assert_eq!(hidden.to_string(), "\"/s/g\": not found (an ignore file leaves it out)");
    assert!(source.find("l").is_err());
    assert_eq!(source.find("x").unwrap_err().to_string(), "\"/x\": not found");
    assert!(Selection::of(&source, &["s/*".into()], &[], false).unwrap().entries.len() == 1);
}

#[test]
fn sockets_are_passed_over_and_pipes_are_not() {
    let (dir, fd) = tree(&["a"]);
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let source = source(&fd, None);
    assert_eq!(walked(&source, ".", "", false), ["a"]);
    let plain = source.digest(&[".".into()], &[], false).unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(walked(&source, ".", "", false), ["a", "pipe"]);
    assert_ne!(source.digest(&[".".into()], &[], false).unwrap(), plain);
}

#[test]
fn attributes_are_those_of_a_stage_and_none_of_a_context() {
    let (dir, fd) = tree(&["d/a"]);
    let origins = [Origin::Context, Origin::Rootfs];
    let digests = || {
        origins.map(|origin| {
            let source = Source { origin, ..source(&fd, None) };
            source.digest(&["d".into()], &[], false).unwrap()
        })
    };
    let before = digests();
    for path in ["d", "d/a"] {
        let file = File::open(dir.path().join(path)).unwrap();
        match rustix::fs::fsetxattr(&file, "user.wharf", b"1", rustix::fs::XattrFlags::empty()) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                eprintln!("skipped: the file system of {} has no attributes", dir.path().display());
                return;
            }
            set => set.unwrap(),
        }
    }
    let after = digests();
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
}

#[test]
fn a_digest_is_what_would_be_copied() {
    let digest = |change: &dyn Fn(&Path), paths: &[&str]| {
        let (dir, fd) = tree(&["d/a", "d/b", "l -> d/a", "x"]);
        change(dir.path());
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        source(&fd, None).digest(&paths, &["*.log".into()], false).unwrap()
    };
    let nothing = |_: &Path| {};
    let plain = digest(&nothing, &["d", "l"]);
    type Change = Box<dyn Fn(&Path)>;
    let same: Vec<(&str, Change)> = vec![
        ("nothing", Box::new(nothing)),
        (
            "an old time",
            Box::new(|at| {
                let file = File::open(at.join("d/a")).unwrap();
                file.set_modified(std::time::UNIX_EPOCH).unwrap();
            }),
        ),
        ("a file elsewhere", Box::new(|at| fs::write(at.join("y"), "").unwrap())),
        ("an excluded file", Box::new(|at| fs::write(at.join("d/x.log"), "").unwrap())),
        (
            "an attribute of the directory itself",
            Box::new(|at| {
                fs::set_permissions(at.join("d"), PermissionsExt::from_mode(0o700)).unwrap();
            }),
        ),
    ];
    for (name, change) in same {
        assert_eq!(digest(&*change, &["d", "l"]), plain, "{name}");
    }
    let other: Vec<(&str, Change)> = vec![
        ("content", Box::new(|at| fs::write(at.join("d/b"), "c").unwrap())),
        ("a name", Box::new(|at| fs::rename(at.join("d/b"), at.join("d/c")).unwrap())),
        (
            "a mode",
            Box::new(|at| {
                fs::set_permissions(at.join("d/b"), PermissionsExt::from_mode(0o700)).unwrap();
            }),
        ),
        ("a new directory", Box::new(|at| fs::create_dir(at.join("d/e")).unwrap())),
        ("a new link", Box::new(|at| symlink("a", at.join("d/l")).unwrap())),
    ];
    for (name, change) in other {
        assert_ne!(digest(&*change, &["d", "l"]), plain, "{name}");
    }
    assert_ne!(digest(&nothing, &["l", "d"]), plain);
    assert_ne!(digest(&nothing, &["d"]), plain);
}

#[test]
fn a_digest_read_before_is_known_until_the_file_changes() {
    let (dir, fd) = tree(&["a"]);
    let digests = Digests::default();
    let source = Source { digests: Some(&digests), ..source(&fd, None) };
    let first = source.digest(&["a".into()], &[], false).unwrap();
    assert_eq!(source.digest(&["a".into()], &[], false).unwrap(), first);
    fs::write(dir.path().join("a"), "longer").unwrap();
    assert_ne!(source.digest(&["a".into()], &[], false).unwrap(), first);
}
