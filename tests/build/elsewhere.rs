//! Contexts and Dockerfiles that are no directory of the user's: standard input, the web.

use std::io::Write;

use crate::harness::{Output, Page, Sandbox, Web, host};

const DOCKERFILE: &str = "FROM busybox\nCOPY . /c\nRUN cd /c && find . -type f | sort > /list\n";

fn header(size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_mtime(1);
    header
}

/// A tar of files.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = header(text.len());
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The same, packed by a program of the host.
fn packed(box_: &Sandbox, plain: &[u8], program: &str) -> Vec<u8> {
    let file = box_.write("context.tar", plain);
    let output = std::process::Command::new(program).arg("-c").arg(&file).output().unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(output.status.success());
    output.stdout
}

fn build(box_: &Sandbox, line: &str, stdin: &[u8]) -> Output {
    box_.wharf_with(line.split_whitespace(), stdin)
}

#[test]
fn a_dockerfile_on_standard_input_has_an_empty_context() {
    let box_ = Sandbox::new();
    box_.write("file", "not for this build");
    build(&box_, "build -t c -", DOCKERFILE.as_bytes()).success();
    assert_eq!(box_.in_image("c", "cat /list"), "");
    let copied = build(&box_, "build -", b"FROM busybox\nCOPY file /\n").fails(1);
    copied.says("Dockerfile:2").says("file").says("not found");
    build(&box_, "build -", b"").fails(1);
    build(&box_, "build -f Dockerfile -", b"FROM busybox\n").fails(1).says("Dockerfile");
}

#[test]
fn a_dockerfile_on_standard_input_may_have_a_context() {
    let box_ = Sandbox::new();
    box_.write("dir/file", "");
    box_.write("dir/left-out", "");
    box_.write("dir/.dockerignore", "left-out\n.dockerignore\n");
    build(&box_, "build -t c -f - dir", DOCKERFILE.as_bytes()).success();
    assert_eq!(box_.in_image("c", "cat /list"), "./file\n");
    build(&box_, "build -f - -", b"").fails(1).says("standard input");
}

#[test]
fn a_tar_on_standard_input_is_the_context() {
    let box_ = Sandbox::new();
    let other = "FROM busybox\nCOPY one /other\n";
    let plain = tar(&[
        ("Dockerfile", DOCKERFILE),
        ("one", "1"),
        ("sub/two", "2"),
        ("sub/Other", other),
        (".dockerignore", "Dockerfile\n.dockerignore\nsub/Other\n"),
    ]);
    let mut ids = Vec::new();
    for program in ["", "gzip", "bzip2", "xz", "zstd"] {
        let bytes = if program.is_empty() { plain.clone() } else { packed(&box_, &plain, program) };
        let built = build(&box_, "build -q -t c -", &bytes).success();
        assert_eq!(box_.in_image("c", "cat /list"), "./one\n./sub/two\n", "{program}");
        ids.push(built.line().to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "the same files give the same image: {ids:?}");
    build(&box_, "build -t o -f sub/Other -", &plain).success();
    assert_eq!(box_.in_image("o", "cat /other"), "1");
    build(&box_, "build -f missing -", &plain).fails(1).says("missing");
}

/// Nothing in a tar leads to a file of the host.
#[test]
fn a_tar_on_standard_input_can_not_lead_out() {
    let box_ = Sandbox::new();
    let outside = box_.write("outside", "FROM busybox\n").display().to_string();
    for (name, link) in [("Dockerfile", true), (".dockerignore", true), ("../up", false)] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = header(0);
        if link {
            header.set_entry_type(tar::EntryType::Symlink);
            builder.append_link(&mut header, name, &outside).unwrap();
        } else {
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, std::io::empty()).unwrap();
        }
        if name != "Dockerfile" {
            let mut header = self::header(0);
            builder.append_data(&mut header, "Dockerfile", std::io::empty()).unwrap();
        }
        let bytes = builder.into_inner().unwrap();
        let before = box_.traces();
        build(&box_, "build -", &bytes).fails(1);
        box_.left_nothing_since(&before);
    }
}

#[test]
fn a_damaged_tar_on_standard_input_leaves_nothing() {
    let box_ = Sandbox::new();
    let plain = tar(&[("Dockerfile", "FROM busybox\n"), ("file", "text")]);
    let packed = packed(&box_, &plain, "gzip");
    let before = box_.traces();
    for bytes in [&plain[..700], &packed[..packed.len() - 9], b"\x1f\x8b\x08 no gzip", b"BZhno"] {
        build(&box_, "build -t x -", bytes).fails(1).says("standard input");
    }
    box_.left_nothing_since(&before);
}

#[test]
fn a_context_comes_from_the_web() {
    let box_ = Sandbox::new();
    let plain =
        tar(&[("Dockerfile", DOCKERFILE), ("file", ""), ("other/Dockerfile", "FROM busybox\nENV A=1\n")]);
    let page = |body: &[u8]| Page { headers: vec![], body: body.to_vec() };
    let web = Web::serve([
        ("/context.tar.gz", page(&packed(&box_, &plain, "gzip"))),
        ("/Dockerfile", page(b"FROM busybox\nCOPY Dockerfile /d\n")),
        ("/damaged", page(&plain[..700])),
    ]);
    box_.run(&format!("build -t c {}", web.url("/context.tar.gz"))).success();
    assert_eq!(box_.in_image("c", "cat /list"), "./Dockerfile\n./file\n./other/Dockerfile\n");
    box_.run(&format!("build -t o -f other/Dockerfile {}", web.url("/context.tar.gz"))).success();
    assert_eq!(box_.inspect("o", "{{json .Config.Env}}").matches("A=1").count(), 1);
    box_.run(&format!("build -t d {}", web.url("/Dockerfile"))).success();
    assert_eq!(box_.in_image("d", "cat /d"), "FROM busybox\nCOPY Dockerfile /d\n");
    for (page, cause) in [("/missing", "404"), ("/damaged", "archive")] {
        let url = web.url(page);
        box_.wharf(["build", "-t", "x", &url]).fails(1).says(&url).says(cause);
    }
}

#[test]
fn a_dockerfile_from_the_web_may_have_a_context() {
    let box_ = Sandbox::new();
    box_.write("file", "");
    let web = Web::serve([("/any", Page { headers: vec![], body: DOCKERFILE.as_bytes().to_vec() })]);
    box_.run(&format!("build -t c -f {} .", web.url("/any"))).success();
    assert_eq!(box_.in_image("c", "cat /list"), "./file\n");
}

/// `build -f <(make-dockerfile) .`
#[test]
fn a_dockerfile_may_come_through_a_pipe() {
    let box_ = Sandbox::new();
    box_.write("file", "");
    let mut command = box_.command(["build", "-q", "-f", "/dev/stdin", "."]);
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"FROM busybox\nCOPY file /\n").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

/// Neither is waited for.
#[test]
fn a_dockerfile_or_an_ignore_file_that_is_no_file_is_refused() {
    let box_ = Sandbox::new();
    let dir = box_.dir();
    host(&["mkfifo", dir.join("pipe").to_str().unwrap()]);
    std::fs::create_dir(dir.join("directory")).unwrap();
    box_.write("good", "FROM busybox\n");
    for file in ["pipe", "directory", "/dev/zero", "missing"] {
        box_.refuses(1, &["build", "-f", file, "."], &[]);
    }
    std::os::unix::fs::symlink("good", dir.join("Dockerfile")).unwrap();
    box_.run("build .").success();
    for target in ["pipe", "directory"] {
        for name in [".dockerignore", "Dockerfile.dockerignore"] {
            std::os::unix::fs::symlink(target, dir.join(name)).unwrap();
            box_.refuses(1, &["build", "."], &[name]);
            std::fs::remove_file(dir.join(name)).unwrap();
        }
    }
    box_.write("rules", "good\n");
    std::os::unix::fs::symlink("rules", dir.join(".dockerignore")).unwrap();
    box_.write("copies", "FROM busybox\nCOPY good /\n");
    box_.run("build -f copies .").fails(1).says("ignore");
    std::fs::remove_file(dir.join("Dockerfile")).unwrap();
    box_.write("dockerfile", "FROM busybox\n");
    box_.run("build .").success();
}
