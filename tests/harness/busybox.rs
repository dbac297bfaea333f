//! A root file system from bytes: the host's static busybox, a link for each of its programs, and
//! the few files that programs look for.

use std::path::PathBuf;
use std::process::Command;

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nbin:x:2:2:bin:/bin:/bin/sh\nsailor:x:1000:1000::/home/sailor:/bin/sh\n";
const GROUP: &str = "root:x:0:\nbin:x:2:\nsailor:x:1000:\ncrew:x:2000:sailor\n";

/// The tar of it: always the same bytes on one host.
pub(super) fn tar() -> Vec<u8> {
    let program = find();
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode) in [("bin", 0o755), ("etc", 0o755), ("home", 0o755), ("root", 0o700), ("tmp", 0o1777)] {
        directory(&mut tar, path, mode);
    }
    file(&mut tar, "bin/busybox", 0o755, &std::fs::read(&program).unwrap());
    let mut names: Vec<String> = applets(&program);
    names.sort();
    for name in names.iter().filter(|name| *name != "busybox") {
        link(&mut tar, &format!("bin/{name}"), "busybox");
    }
    file(&mut tar, "etc/passwd", 0o644, PASSWD.as_bytes());
    file(&mut tar, "etc/group", 0o644, GROUP.as_bytes());
    tar.into_inner().unwrap()
}

fn find() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let found = std::env::split_paths(&path).map(|dir| dir.join("busybox")).find(|path| path.exists());
    found.expect("the tests need busybox-static: run them with `./dev test`, which installs it")
}

fn applets(program: &PathBuf) -> Vec<String> {
    let list = Command::new(program).arg("--list").output().unwrap();
    String::from_utf8(list.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_000_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn directory(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32) {
    let mut header = header(tar::EntryType::Directory, mode, 0);
    tar.append_data(&mut header, path, std::io::empty()).unwrap();
}

fn file(tar: &mut tar::Builder<Vec<u8>>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = header(tar::EntryType::Regular, mode, bytes.len());
    tar.append_data(&mut header, path, bytes).unwrap();
}

fn link(tar: &mut tar::Builder<Vec<u8>>, path: &str, target: &str) {
    let mut header = header(tar::EntryType::Symlink, 0o777, 0);
    tar.append_link(&mut header, path, target).unwrap();
}
