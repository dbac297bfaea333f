//! Contexts with what nobody expects: links that lead out, pipes and devices, odd names, deep trees,
//! files that change while they are read.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Sandbox, host};

#[test]
fn nothing_outside_the_context_is_copied() {
    let box_ = Sandbox::new();
    box_.write("secret", "outside");
    box_.write("ctx/inside", "inside");
    for (target, link) in
        [("../secret", "up"), ("/etc/hostname", "absolute"), ("..", "parent"), ("loop", "loop")]
    {
        std::os::unix::fs::symlink(target, box_.dir().join("ctx").join(link)).unwrap();
    }
    for source in ["../secret", "up", "absolute", "parent/secret", "inside/../../secret", "loop"] {
        box_.write("ctx/Dockerfile", format!("FROM busybox\nCOPY {source} /x\n"));
        box_.refuses(1, &["build", "-t", "x", "ctx"], &["Dockerfile:2"]);
    }
    // What is found on the way is a link, and stays one.
    box_.write("ctx/Dockerfile", "FROM busybox\nCOPY . /c\nCOPY ../../inside /up\n");
    box_.run("build -t c ctx").success();
    let found = box_.in_image("c", "cd /c; for n in up absolute parent loop; do readlink $n; done; cat /up");
    assert_eq!(found, "../secret\n/etc/hostname\n..\nloop\ninside");
}

/// Nobody opens them: a pipe that is read waits for ever.
#[test]
fn pipes_and_devices_are_made_again_and_sockets_left_out() {
    let box_ = Sandbox::new();
    let path = |name: &str| box_.dir().join("d").join(name).display().to_string();
    box_.write("d/file", "");
    let _socket = UnixListener::bind(path("socket")).unwrap();
    host(&["mkfifo", "--mode=640", &path("pipe")]);
    host(&["mkfifo", &path("pipe.tar")]);
    host(&["mknod", "--mode=600", &path("char"), "c", "1", "5"]);
    host(&["mknod", "--mode=660", &path("block"), "b", "7", "99"]);
    box_.build(
        "s",
        "FROM busybox\nCOPY d /d\nCOPY d/pip? d/char /e/\nADD d/pipe.tar /f\nADD d /g\nCOPY --chmod=600 d/pipe /h\n",
    );
    let list = "ls -l /d | awk '{ print $1, $NF }'; stat -c %t,%T /d/char /d/block /e/char";
    let expected = "total 0\nbrw-rw---- block\ncrw------- char\n-rw-r--r-- file\nprw-r----- pipe\nprw-r--r-- pipe.tar\n\
                    1,5\n7,63\n1,5\n";
    assert_eq!(box_.in_image("s", list), expected);
    let list = "ls -l / | grep '^p' | awk '{ print $1, $NF }'; ls -l /e | grep -c '^p'; ls /g | wc -l";
    assert_eq!(box_.in_image("s", list), "prw-r--r-- f\nprw------- h\n1\n5\n");
    box_.run("build .").success().says("CACHED");
}

#[test]
fn names_of_any_bytes_are_copied_as_they_are() {
    let box_ = Sandbox::new();
    let long = "n".repeat(255);
    let names: [&[u8]; 4] = [b"not \xff\xfe utf-8", b"new\nline", b" blank ", long.as_bytes()];
    for name in names {
        box_.write("d/x", "");
        std::fs::rename(box_.dir().join("d/x"), box_.dir().join("d").join(OsStr::from_bytes(name))).unwrap();
    }
    box_.build(
        "n",
        "FROM busybox\nCOPY d /d\nRUN cd /d && ls | wc -l && test -e \"$(printf 'not \\377\\376 utf-8')\"\n",
    );
    box_.build(
        "n",
        "FROM busybox\nCOPY d /d\nRUN cd /d && ls | wc -l && test -e \"$(printf 'not \\377\\376 utf-8')\"\n",
    )
    .without("DONE");
    box_.run("save -o n.tar n").success();
}

#[test]
fn deep_trees_are_copied_and_bottomless_ones_refused() {
    let box_ = Sandbox::new();
    let script = |depth: usize| {
        format!(
            "cd d; for n in $(seq {depth}); do mkdir level && cd -P level || exit 1; done; echo end > file"
        )
    };
    box_.write("d/top", "");
    let dir = box_.dir();
    let make = |depth: usize| host(&["sh", "-c", &format!("cd {} && {}", dir.display(), script(depth))]);
    make(300);
    box_.build("d", "FROM busybox\nCOPY d /d\n");
    assert_eq!(box_.in_image("d", "find /d -name file | wc -c"), format!("{}\n", 2 + 6 * 300 + 6));
    host(&["rm", "-r", dir.join("d/level").to_str().unwrap()]);
    make(1500);
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2"]);
    host(&["rm", "-r", dir.join("d/level").to_str().unwrap()]);
}

/// Whatever is read is what the layer's digest says, and no later build takes it for what the file
/// held at another time.
#[test]
fn a_file_that_changes_while_it_is_read_spoils_nothing() {
    let box_ = Sandbox::new();
    let path = box_.write("d/busy", "");
    for number in 0..300 {
        box_.write(&format!("d/file-{number}"), "x".repeat(3000));
    }
    box_.write("Dockerfile", "FROM busybox\nCOPY d /d\n");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u32.. {
                let length = 1 + number % 7 * 100_000;
                std::fs::write(&path, vec![b'a' + (number % 26) as u8; length as usize]).unwrap();
                let other = path.with_file_name(format!("comes-{}", number % 3));
                if number % 2 == 0 {
                    drop(std::fs::write(other, ""))
                } else {
                    drop(std::fs::remove_file(other))
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for round in 0..4 {
            let built = box_.run(&format!("build -t busy{round} ."));
            if built.status != 0 {
                built.fails(1).says("Dockerfile:2");
                continue;
            }
            // The tar is made again from the layer, and held against its digest.
            box_.run(&format!("save -o busy.tar busy{round}")).success();
        }
        stop.store(true, Ordering::Relaxed);
    });
    for number in 0..3 {
        let _ = std::fs::remove_file(path.with_file_name(format!("comes-{number}")));
    }
    for text in ["one", "two", "six"] {
        box_.write("d/busy", text);
        box_.run("build -t still .").success();
        assert_eq!(box_.in_image("still", "cat /d/busy; ls /d | wc -l"), format!("{text}301\n"));
    }
}

/// The same size, in the same moment, by a rename or in place.
#[test]
fn a_change_of_the_same_size_a_moment_later_is_noticed() {
    let box_ = Sandbox::new();
    let path = box_.write("note", "0000");
    box_.write("Dockerfile", "FROM busybox\nCOPY note /note\n");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    for number in 1..=6 {
        let text = format!("{number:04}");
        if number % 2 == 0 {
            box_.write("new", &text);
            std::fs::rename(box_.dir().join("new"), &path).unwrap();
        } else {
            std::fs::write(&path, &text).unwrap();
        }
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        box_.run("build -t c .").success();
        assert_eq!(box_.in_image("c", "cat /note"), text);
    }
    box_.run("build -t c .").success().without("DONE");
}

/// A later build trusts what an earlier one found out, unless somebody damaged it.
#[test]
fn what_is_known_of_files_may_be_lost_or_damaged() {
    let box_ = Sandbox::new();
    box_.write("d/file", "1");
    box_.write("Dockerfile", "FROM busybox\nCOPY d /d\n");
    let first = box_.run("build -q .").success().line().to_owned();
    let digests = box_.root().join("digests");
    let files =
        || std::fs::read_dir(&digests).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(files().len(), 1, "one for the context");
    for text in [&b""[..], b"wharf-digests-1\n", &[7; 300]] {
        std::fs::write(&files()[0], text).unwrap();
        assert_eq!(box_.run("build -q .").success().line(), first);
    }
    std::fs::remove_dir_all(&digests).unwrap();
    std::fs::write(&digests, "no directory").unwrap();
    assert_eq!(box_.run("build -q .").success().line(), first);
    std::fs::remove_file(&digests).unwrap();
}

/// Tars hold longer names than any file system.
#[test]
fn a_tar_with_what_no_directory_can_hold_is_refused() {
    let box_ = Sandbox::new();
    let before = box_.traces();
    for name in ["n".repeat(300), format!("{}x", "d/".repeat(1500))] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        builder.append_data(&mut header, &name, std::io::empty()).unwrap();
        let bytes = builder.into_inner().unwrap();
        box_.wharf_with(["build", "-"], &bytes).fails(1).says("archive");
    }
    box_.left_nothing_since(&before);
}
