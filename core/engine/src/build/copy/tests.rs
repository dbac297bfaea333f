use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink as host_link};

use wharf_model::build::{Input, ModeChange, Owner};

use crate::build::ignore::Ignore;
use crate::build::source::Origin;

use super::*;

const EPOCH: i64 = 1_000_000_000;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: owners and capabilities need root");
    }
    is_root
}

/// A source tree and a target tree.
struct Site {
    from: tempfile::TempDir,
    to: tempfile::TempDir,
}

fn fill(top: &Path, entries: &[&str]) {
    for entry in entries {
        let (path, target) = entry.split_once(" -> ").map_or((*entry, None), |(a, b)| (a, Some(b)));
        let path = top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match target {
            Some(target) => host_link(target, path).unwrap(),
            None if entry.ends_with('/') => fs::create_dir_all(path).unwrap(),
            None => fs::write(path, entry).unwrap(),
        }
    }
}

/// Every entry below a directory: `dir/`, `link -> target`, `file`, `file=content of another`.
fn listed(top: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![top.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.strip_prefix(top).unwrap().display().to_string();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_symlink() {
                found.push(format!("{shown} -> {}", fs::read_link(&path).unwrap().display()));
            } else if kind.is_dir() {
                found.push(format!("{shown}/"));
                pending.push(path);
            } else if kind.is_file() {
                let content = fs::read_to_string(&path).unwrap();
                found.push(if content == shown { shown } else { format!("{shown}={content}") });
            } else {
                found.push(shown);
            }
        }
    }
    found.sort();
    found
}

fn op(paths: &[&str], dest: &str) -> Copy {
    Copy {
        base: Input::Stage,
        source: Input::Local,
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        excludes: Vec::new(),
        dest: dest.to_owned(),
        owner: None,
        mode: None,
        unpack: false,
        parents: false,
        link: false,
    }
}

impl Site {
    fn new(from: &[&str], to: &[&str]) -> Self {
        let site = Self { from: tempfile::tempdir().unwrap(), to: tempfile::tempdir().unwrap() };
        fill(site.from.path(), from);
        fill(site.to.path(), to);
        site
    }

    fn copy_as(&self, op: &Copy, origin: Origin, unpack: &mut dyn Unpack) -> Result<(), CopyError> {
        let from = File::open(self.from.path()).unwrap();
        let ignore = Ignore::parse("ignored").unwrap();
        let source = Source { root: from.as_fd(), ignore: Some(&ignore), origin, digests: None };
        self.with_target(|target| copy(op, &source, target, unpack))
    }

    fn copy(&self, op: &Copy) -> Result<(), CopyError> {
        self.copy_as(op, Origin::Context, &mut NoUnpack)
    }

    fn with_target<T>(&self, act: impl FnOnce(&Target<'_>) -> T) -> T {
        let to = File::open(self.to.path()).unwrap();
        act(&Target { root: to.as_fd(), accounts: to.as_fd(), working_dir: "/work", epoch: EPOCH })
    }

    fn meta(&self, path: &str) -> fs::Metadata {
        fs::symlink_metadata(self.to.path().join(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        self.meta(path).mode() & 0o7777
    }
}

#[test]
fn files_and_directories_land_where_docker_puts_them() {
    let from = ["a", "b", "d/x", "d/s/y", "l -> a", "d/l -> x", "ignored"];
    for (paths, dest, to, added) in [
        (vec!["a"], "/n", vec![], vec!["n=a"]),
        (vec!["a"], "/n/", vec![], vec!["n/", "n/a=a"]),
        (vec!["a"], "/n/m", vec![], vec!["n/", "n/m=a"]),
        (vec!["a"], "/n", vec!["n/"], vec!["n/", "n/a=a"]),
        (vec!["a"], "/n", vec!["n"], vec!["n=a"]),
        (vec!["a"], "n", vec![], vec!["work/", "work/n=a"]),
        (vec!["a"], ".", vec![], vec!["work/", "work/a=a"]),
        (vec!["l"], "/n/", vec![], vec!["n/", "n/l=a"]),
        (vec!["d"], "/n", vec![], vec!["n/", "n/l -> x", "n/s/", "n/s/y=d/s/y", "n/x=d/x"]),
        (vec!["d/"], "/n/", vec!["n/o"], vec!["n/", "n/l -> x", "n/o", "n/s/", "n/s/y=d/s/y", "n/x=d/x"]),
        (vec!["d/s"], "/", vec!["y"], vec!["y=d/s/y"]),
        (vec!["a", "b"], "/n/", vec![], vec!["n/", "n/a=a", "n/b=b"]),
        (vec!["a", "b"], "/n", vec!["n/"], vec!["n/", "n/a=a", "n/b=b"]),
        (vec!["[ab]"], "/n/", vec![], vec!["n/", "n/a=a", "n/b=b"]),
        (vec!["*.none"], "/n/", vec![], vec![]),
        (vec!["d/*"], "/n/", vec![], vec!["n/", "n/l=d/x", "n/x=d/x", "n/y=d/s/y"]),
        (vec!["a"], "/q/../n", vec!["q -> /r/s"], vec!["n=a", "q -> /r/s"]),
    ] {
        let site = Site::new(&from, &to);
        site.copy(&op(&paths, dest)).unwrap();
        assert_eq!(listed(site.to.path()), added, "COPY {paths:?} {dest} onto {to:?}");
    }
}

#[test]
fn a_linked_copy_takes_no_notice_of_what_is_there() {
    for (paths, dest, to, added) in [
        (vec!["a"], "/bin/", vec!["u/", "bin -> u"], vec!["bin/", "bin/a=a", "u/"]),
        (vec!["a"], "/bin/x/y", vec!["bin -> u", "k"], vec!["bin/", "bin/x/", "bin/x/y=a", "k"]),
        (vec!["a"], "/f", vec!["f/g"], vec!["f=a"]),
        (vec!["t"], "/l", vec!["l -> u", "u/"], vec!["l/", "l/s/", "l/s/x=t/s/x", "u/"]),
        (vec!["t"], "/", vec!["s -> u", "u/k"], vec!["s/", "s/x=t/s/x", "u/", "u/k"]),
        (vec!["t"], "/", vec!["s/x/y", "s/k"], vec!["s/", "s/k", "s/x=t/s/x"]),
    ] {
        let site = Site::new(&["a", "t/s/x"], &to);
        site.copy(&Copy { link: true, ..op(&paths, dest) }).unwrap();
        assert_eq!(listed(site.to.path()), added, "COPY --link {paths:?} {dest} onto {to:?}");
    }
}

#[test]
fn an_octal_mode_is_for_the_directories_that_are_made_too() {
    let site = Site::new(&["a", "t/s/x"], &["there/"]);
    let there = site.mode("there");
    let mode = |change| Some(change);
    site.copy(&Copy { mode: mode(ModeChange::Bits(0o1750)), ..op(&["t"], "/n/m") }).unwrap();
    assert_eq!((site.mode("n"), site.mode("n/m"), site.mode("n/m/s")), (0o750, 0o750, 0o1750));
    site.copy(&Copy { mode: mode(ModeChange::Bits(0o700)), ..op(&["a"], "/there/d/") }).unwrap();
    assert_eq!((site.mode("there"), site.mode("there/d"), site.mode("there/d/a")), (there, 0o700, 0o700));
    site.copy(&Copy { mode: mode(ModeChange::Symbolic("u=rwx,go=".into())), ..op(&["a"], "/s/") }).unwrap();
    assert_eq!((site.mode("s"), site.mode("s/a")), (0o755, 0o700));
}

#[test]
fn links_in_the_destination_stay_inside_it() {
    for (paths, dest, to, added) in [
        (
            vec!["a"],
            "/bin/",
            vec!["usr/bin/", "bin -> usr/bin"],
            vec!["bin -> usr/bin", "usr/", "usr/bin/", "usr/bin/a=a"],
        ),
        (vec!["a"], "/e/", vec!["e -> /etc"], vec!["e -> /etc", "etc/", "etc/a=a"]),
        (vec!["a"], "/e/f", vec!["e -> ../../.."], vec!["e -> ../../..", "f=a"]),
        (vec!["a"], "/f", vec!["f -> /g"], vec!["f -> /g", "g=a"]),
        (vec!["a"], "/d/", vec!["d/a -> /etc/passwd"], vec!["d/", "d/a=a"]),
        (vec!["t"], "/", vec!["usr/s/", "s -> usr/s"], vec!["s -> usr/s", "usr/", "usr/s/", "usr/s/x=t/s/x"]),
    ] {
        let site = Site::new(&["a", "t/s/x"], &to);
        site.copy(&op(&paths, dest)).unwrap();
        assert_eq!(listed(site.to.path()), added, "COPY {paths:?} {dest} onto {to:?}");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    for (paths, dest, to, message) in [
        (vec!["none"], "/n", vec![], "\"/none\": not found"),
        (vec!["ignored"], "/n", vec![], "\"/ignored\": not found (an ignore file leaves it out)"),
        (vec!["a", "b"], "/n", vec![], "more than one file is copied to `/n`, which is not a directory"),
        (vec!["[ab]"], "/n", vec![], "more than one file is copied to `/n`, which is not a directory"),
        (vec!["d"], "/n", vec!["n"], "cannot copy a directory onto `/n`, which is not a directory"),
        (vec!["d"], "/", vec!["s"], "cannot copy a directory onto `/s`, which is not a directory"),
        (vec!["a"], "/", vec!["a/"], "cannot replace the directory `/a` by a file"),
        (vec!["a"], "/n/x", vec!["n"], "cannot write `/n/x`"),
        (vec!["a"], "/n/", vec!["n"], "cannot copy a directory onto `/n`, which is not a directory"),
        (vec!["a"], "/l/x", vec!["l -> l"], "cannot write `/l/x`"),
        (vec!["["], "/n", vec![], "syntax error in pattern `[`"),
    ] {
        let site = Site::new(&["a", "b", "d/s/x", "ignored"], &to);
        let error = site.copy(&op(&paths, dest)).unwrap_err();
        assert_eq!(error.to_string(), message, "COPY {paths:?} {dest} onto {to:?}");
    }
}

#[test]
fn excludes_are_seen_from_each_source() {
    let from = ["app/keep", "app/drop/x", "app/drop/y", "top.txt", "top.md"];
    for (paths, exclude, added) in [
        (vec!["app"], "drop", vec!["keep=app/keep"]),
        (vec!["app"], "drop/x", vec!["drop/", "drop/y=app/drop/y", "keep=app/keep"]),
        (vec!["top*"], "*.txt", vec!["top.md"]),
        (vec!["app"], "*", vec![]),
    ] {
        let site = Site::new(&from, &[]);
        let op = Copy { excludes: vec![exclude.to_owned()], ..op(&paths, "/") };
        site.copy(&op).unwrap();
        assert_eq!(listed(site.to.path()), added, "--exclude={exclude} {paths:?}");
    }
}

#[test]
fn parents_are_copied_with_the_file() {
    let site = Site::new(&["x/y/a", "x/y/b"], &[]);
    let parents = |paths: &[&str], dest: &str| Copy { parents: true, ..op(paths, dest) };
    site.copy(&parents(&["x/y/a"], "/p")).unwrap();
    site.copy(&parents(&["./x/./y/b"], "/q/")).unwrap();
    let expected = ["p/", "p/x/", "p/x/y/", "p/x/y/a=x/y/a", "q/", "q/y/", "q/y/b=x/y/b"];
    assert_eq!(listed(site.to.path()), expected);
}

#[test]
fn privileged_context_files_have_no_owner_and_no_time() {
    if !is_root() {
        return;
    }
    let site = Site::new(&["d/f", "d/s/g", "d/l -> f"], &[]);
    for path in ["d/f", "d/s", "d/l"] {
        std::os::unix::fs::lchown(site.from.path().join(path), Some(7), Some(8)).unwrap();
    }
    fs::set_permissions(site.from.path().join("d/f"), PermissionsExt::from_mode(0o4750)).unwrap();
    fs::set_permissions(site.from.path().join("d/s"), PermissionsExt::from_mode(0o1700)).unwrap();
    site.copy(&op(&["d"], "/n/m")).unwrap();
    for path in ["n", "n/m", "n/m/f", "n/m/s", "n/m/s/g", "n/m/l"] {
        let meta = site.meta(path);
        assert_eq!((meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec()), (0, 0, EPOCH, 0), "{path}");
    }
    let modes = ["n", "n/m", "n/m/f", "n/m/s"].map(|path| site.mode(path));
    assert_eq!(modes, [0o755, 0o755, 0o4750, 0o1700]);
}

#[test]
fn privileged_a_stages_files_keep_owner_time_links_and_attributes() {
    if !is_root() {
        return;
    }
    let site = Site::new(&["d/a", "d/z"], &[]);
    let top = site.from.path().join("d");
    fs::hard_link(top.join("a"), top.join("b")).unwrap();
    std::os::unix::fs::lchown(top.join("a"), Some(7), Some(8)).unwrap();
    nix::unistd::mkfifo(&top.join("p"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let file = File::open(top.join("a")).unwrap();
    rustix::fs::fsetxattr(&file, "security.capability", &capability, rustix::fs::XattrFlags::empty())
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(5, 6)).unwrap();
    site.copy_as(&op(&["d"], "/n"), Origin::Rootfs, &mut NoUnpack).unwrap();
    let meta = site.meta("n/a");
    assert_eq!((meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec()), (7, 8, 5, 6));
    assert_eq!((meta.nlink(), meta.ino()), (2, site.meta("n/b").ino()));
    assert!(site.meta("n/p").file_type().is_fifo());
    let mut copied = [0; 20];
    let copy = File::open(site.to.path().join("n/a")).unwrap();
    rustix::fs::fgetxattr(&copy, "security.capability", &mut copied).unwrap();
    assert_eq!(copied, capability);
}

#[test]
fn privileged_chown_and_chmod_count_for_everything_copied() {
    if !is_root() {
        return;
    }
    let site = Site::new(&["d/f", "d/s/g"], &["etc/passwd"]);
    fs::write(site.to.path().join("etc/passwd"), "me:x:5:6::/:\n").unwrap();
    let owner = Some(Owner { user: "me".into(), group: None });
    let mode = Some(ModeChange::Symbolic("u=rwX,go=".into()));
    site.copy(&Copy { owner, mode, ..op(&["d"], "/n/m") }).unwrap();
    for (path, mode) in [("n", 0o755), ("n/m", 0o755), ("n/m/f", 0o600), ("n/m/s", 0o700), ("n/m/s/g", 0o600)]
    {
        let meta = site.meta(path);
        assert_eq!((meta.uid(), meta.gid(), site.mode(path)), (5, 6, mode), "{path}");
    }
    let nobody = Some(Owner { user: "nobody".into(), group: None });
    let error = site.copy(&Copy { owner: nobody, ..op(&["d"], "/n") }).unwrap_err();
    assert_eq!(error.to_string(), "no user `nobody` in /etc/passwd");
}

#[test]
fn existing_directories_below_take_the_sources_mode_and_the_destination_keeps_its_own() {
    let site = Site::new(&["d/s/f"], &["n/s/"]);
    fs::set_permissions(site.from.path().join("d"), PermissionsExt::from_mode(0o711)).unwrap();
    fs::set_permissions(site.from.path().join("d/s"), PermissionsExt::from_mode(0o711)).unwrap();
    fs::set_permissions(site.to.path().join("n"), PermissionsExt::from_mode(0o700)).unwrap();
    site.copy(&op(&["d"], "/n")).unwrap();
    assert_eq!((site.mode("n"), site.mode("n/s")), (0o700, 0o711));
}

#[test]
fn holes_stay_holes() {
    let site = Site::new(&[], &[]);
    let file = File::create(site.from.path().join("big")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", 64 << 20).unwrap();
    site.copy(&op(&["big"], "/big")).unwrap();
    let meta = site.meta("big");
    assert_eq!(meta.len(), (64 << 20) + 3);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    assert_eq!(&fs::read(site.to.path().join("big")).unwrap()[64 << 20..], b"end");
}

/// Takes every file named `*.tar` for an archive.
#[derive(Default)]
struct Recorded(Vec<PathBuf>);

impl Unpack for Recorded {
    fn unpack(
        &mut self,
        archive: &mut File,
        _: BorrowedFd<'_>,
        dest: &Path,
        _: Option<Ids>,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        let is_archive = io::read_to_string(archive)?.ends_with(".tar");
        if is_archive {
            self.0.push(dest.to_owned());
        }
        Ok(is_archive)
    }
}

#[test]
fn archives_are_extracted_and_other_files_copied() {
    let site = Site::new(&["a.tar", "b", "d/c.tar"], &["e/f/", "l -> e"]);
    let mut unpack = Recorded::default();
    let add = Copy { unpack: true, ..op(&["a.tar", "b", "d"], "/l/f/") };
    site.copy_as(&add, Origin::Context, &mut unpack).unwrap();
    assert_eq!(unpack.0, [Path::new("e/f")]);
    assert_eq!(listed(site.to.path()), ["e/", "e/f/", "e/f/b=b", "e/f/c.tar=d/c.tar", "l -> e"]);
}

#[test]
fn single_files_are_written_made_linked_and_removed() {
    let site = Site::new(&[], &["bin -> usr/bin", "usr/bin/old", "out -> /etc/x"]);
    site.with_target(|target| -> Result<(), CopyError> {
        write("/bin/new", b"hi", None, 0o750, target)?;
        write("rel", b"", None, 0o644, target)?;
        write("/out", b"in", None, 0o644, target)?;
        mkdir("/a/b", None, 0o700, target)?;
        mkdir("/bin", None, 0o700, target)?;
        let nobody = Owner { user: "not-yet-there".into(), group: None };
        mkdir("/a/b", Some(&nobody), 0o700, target)?;
        symlink("/anywhere", "/a/l", target)?;
        symlink("/else", "/a/l", target)?;
        remove("/bin/old", false, target)?;
        remove("/none", true, target)
    })
    .unwrap();
    let expected = [
        "a/",
        "a/b/",
        "a/l -> /else",
        "bin -> usr/bin",
        "etc/",
        "etc/x=in",
        "out -> /etc/x",
        "usr/",
        "usr/bin/",
        "usr/bin/new=hi",
        "work/",
        "work/rel=",
    ];
    assert_eq!(listed(site.to.path()), expected);
    assert_eq!((site.mode("usr/bin/new"), site.mode("a"), site.mode("work")), (0o750, 0o700, 0o755));
    assert_eq!((site.meta("usr/bin/new").mtime(), site.meta("a/b").mtime()), (EPOCH, EPOCH));
    site.with_target(|target| {
        assert!(write("/a", b"", None, 0o644, target).is_err());
        assert!(write("/new/", b"", None, 0o644, target).is_err());
        assert!(mkdir("/usr/bin/new", None, 0o755, target).is_err());
        assert!(symlink("x", "/a/b", target).is_err());
        assert!(remove("/none", false, target).is_err());
        assert!(remove("/", true, target).is_err());
        remove("/bin", false, target).unwrap();
        remove("/usr", false, target).unwrap();
    });
    assert_eq!(
        listed(site.to.path()),
        ["a/", "a/b/", "a/l -> /else", "etc/", "etc/x=in", "out -> /etc/x", "work/", "work/rel="]
    );
}
