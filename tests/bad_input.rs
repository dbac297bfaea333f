//! What is wrong is named, with its cause and a next step, with docker's exit code; nothing is left.

use crate::harness::{Sandbox, Small, host};

/// Builds `text`, which has to fail with these words.
fn build_fails(box_: &Sandbox, text: &str, words: &[&str]) {
    box_.write("Dockerfile", text);
    box_.refuses(1, &["build", "-t", "x", "."], words);
}

#[test]
fn dockerfiles_that_are_wrong_are_refused_at_their_line() {
    let box_ = Sandbox::new();
    for (text, words) in [
        ("FROM busybox\n\nRUNN true\n", &["Dockerfile:3", "unknown instruction: RUNN", "RUN"][..]),
        ("RUN true\n", &["no build stage", "FROM"]),
        ("", &["no instructions"]),
        ("# only a comment\n", &["no instructions"]),
        ("ENV A=1\nFROM busybox\n", &["Dockerfile:1", "no build stage"]),
        ("FROM busybox\nRUN [1]\n", &["Dockerfile:2"]),
        ("FROM busybox\nCOPY --wrong=1 a b\n", &["Dockerfile:2", "wrong"]),
        ("FROM busybox\nCOPY a\n", &["Dockerfile:2", "COPY"]),
        ("FROM busybox\nENV A\n", &["Dockerfile:2", "ENV"]),
        ("FROM busybox\nEXPOSE many\n", &["Dockerfile:2", "many"]),
        ("FROM busybox\nWORKDIR\n", &["Dockerfile:2", "WORKDIR"]),
        ("FROM busybox\nRUN <<EOF\nnever ends\n", &["Dockerfile:2", "EOF"]),
        ("FROM Upper/Case\n", &["Dockerfile:1", "Upper/Case"]),
        ("FROM busybox\nENV A=${B\n", &["Dockerfile:2"]),
        ("FROM busybox\nCOPY --from=nowhere /a /b\n", &["Dockerfile:2", "nowhere"]),
    ] {
        build_fails(&box_, text, words);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let box_ = Sandbox::new();
    box_.refuses(1, &["build", "-t", "x", "no/such/directory"], &["no/such/directory"]);
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile"]);
    box_.write("Dockerfile", "FROM busybox\n");
    box_.refuses(1, &["build", "-t", "x", "Dockerfile"], &["Dockerfile"]);
    box_.refuses(1, &["build", "-f", "Other", "-t", "x", "."], &["Other"]);
    box_.refuses(1, &["build", "-t", "not a name", "."], &["invalid tag `not a name`"]);
    box_.refuses(1, &["import", "no-such.tar", "x"], &["no-such.tar"]);
    box_.write("text", "no tar");
    box_.refuses(1, &["import", "text", "x"], &["error"]);
    box_.refuses(1, &["save", "-o", "out.tar", "nothing"], &["nothing"]);
    assert!(!box_.dir().join("out.tar").exists());
}

#[test]
fn a_step_that_fails_leaves_no_half_layer() {
    let box_ = Sandbox::new();
    for (step, code) in
        [("false", 1), ("exit 42", 42), ("nowhere", 127), ("kill -9 $$; echo x > /half; exit 9", 9)]
    {
        box_.write("Dockerfile", format!("FROM busybox\nRUN {step}\n"));
        let code = format!("exit code: {code}");
        box_.refuses(1, &["build", "--network", "none", "-t", "x", "."], &["Dockerfile:2", &code]);
    }
}

#[test]
fn run_refuses_what_it_can_not_do() {
    let box_ = Sandbox::new();
    box_.run("run --rm busybox true").success();
    for (line, words) in [
        (&["run", "--rm", "--name", "not a name", "busybox"][..], &["invalid container name"][..]),
        (&["run", "--rm", "-v", "d:/logs:/logs", "busybox"], &["d:/logs", "Windows path"]),
        (&["run", "--rm", "-v", "relative/path:/x", "busybox"], &["relative/path"]),
        (&["run", "--rm", "-v", "/a:relative", "busybox"], &["relative"]),
        (&["run", "--rm", "-v", "/a:/b:nonsense", "busybox"], &["nonsense"]),
        (&["run", "--rm", "-p", "seventy:80", "busybox"], &["seventy"]),
        (&["run", "--rm", "-p", "80:70000", "busybox"], &["70000"]),
        (&["run", "--rm", "--mount", "type=nonsense,target=/x", "busybox"], &["nonsense"]),
        (&["run", "--rm", "--cap-add", "NONSENSE", "busybox"], &["NONSENSE"]),
        (&["run", "--rm", "-m", "much", "busybox"], &["much"]),
        (&["run", "--rm", "--stop-signal", "NONSENSE", "busybox"], &["NONSENSE"]),
        (&["run", "--rm", "--env-file", "missing", "busybox"], &["missing"]),
        (&["run", "--rm", "UPPER"], &["UPPER"]),
        (&["run", "--rm", "busybox:nothing"], &["Unable to find image 'busybox:nothing' locally", "hint"]),
    ] {
        box_.refuses(125, line, words);
    }
}

#[test]
fn a_second_container_of_the_same_name_is_refused() {
    let box_ = Sandbox::new();
    let id = box_.run("run -d --network none --name same busybox sleep 60").success();
    let words = ["Conflict", "\"/same\"", id.line(), "hint"];
    box_.refuses(125, &["run", "-d", "--name", "same", "busybox", "sleep", "60"], &words);
    box_.refuses(125, &["create", "--name", "same", "busybox"], &words);
}

/// The engine's own directory is nothing to mount into a container.
#[test]
fn the_guard_keeps_containers_from_the_engine_s_own_files() {
    let box_ = Sandbox::new();
    box_.run("run --rm busybox true").success();
    let words = ["/var/lib/wharf", "guard", "containers may not see"];
    box_.refuses(125, &["run", "--rm", "-v", "/var/lib/wharf/x:/x", "busybox", "true"], &words);
    box_.run("run --rm --network none -v /etc:/host busybox true").success().says("warning").says("/etc");
}

#[test]
fn a_full_disk_is_told_and_leaves_what_was_there() {
    let other = Sandbox::new();
    other.run("save -o busybox.tar busybox").success();
    let archive = other.dir().join("busybox.tar");
    let small = Small::mount(other.dir().join("small"), 24);
    let mut box_ = other.beside();
    box_.set_root(other.dir().join("small/root"));
    box_.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    box_.run("run --rm --network none busybox true").success();

    box_.write("big/Dockerfile", "FROM busybox\nRUN head -c 40000000 /dev/urandom > /big\n");
    box_.refuses(1, &["build", "--network", "none", "-t", "x", "big"], &["Dockerfile:2", "exit code: 1"]);
    box_.write("copy/Dockerfile", "FROM busybox\nCOPY big /big\n");
    box_.write("copy/big", vec![7; 40_000_000]);
    box_.refuses(1, &["build", "-t", "x", "copy"], &["No space left on device"]);
    box_.refuses(1, &["import", "copy/big", "x"], &["error"]);
    host(&[
        "tar",
        "-C",
        box_.dir().join("copy").to_str().unwrap(),
        "-cf",
        box_.dir().join("big.tar").to_str().unwrap(),
        "big",
    ]);
    box_.refuses(1, &["import", "big.tar", "x"], &["there is no space for more"]);

    box_.run("run --rm --network none busybox echo still works").success().prints("still works\n");
    small.drop_ballast();
    box_.run("build --network none -t x big").success();
    box_.run("rmi x busybox").success();
    drop(box_);
    drop(small);
}

#[test]
fn a_container_on_a_full_disk_still_ends_with_its_exit_code() {
    let other = Sandbox::new();
    other.run("save -o busybox.tar busybox").success();
    let archive = other.dir().join("busybox.tar");
    let small = Small::mount(other.dir().join("small"), 24);
    let mut box_ = other.beside();
    box_.set_root(other.dir().join("small/root"));
    box_.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    let fill = [
        "run",
        "--network",
        "none",
        "--name",
        "f",
        "busybox",
        "sh",
        "-c",
        "cat /dev/zero > /fill; echo told; exit 7",
    ];
    box_.wharf(fill).fails(7).says("No space left on device").prints("told\n");
    box_.run("rm f").success();
    box_.run("run --rm --network none busybox true").success();
    drop(box_);
    drop(small);
}

/// Megabytes of a packed tar may stand for a gigabyte: no more is unpacked than there is room for.
#[test]
fn a_tar_bomb_does_not_fill_the_disk() {
    let other = Sandbox::new();
    other.run("save -o busybox.tar busybox").success();
    let small = Small::mount(other.dir().join("small"), 64);
    let mut box_ = other.beside();
    box_.set_root(other.dir().join("small/root"));
    box_.wharf(["load", "-i", other.dir().join("busybox.tar").to_str().unwrap()]).success();
    let bomb = bomb();
    let before = box_.traces();
    box_.wharf_with(["build", "-t", "x", "-"], &bomb).fails(1).says("more than").says("standard input");
    box_.left_nothing_since(&before);
    box_.write("bomb.tar.gz", &bomb);
    box_.write("Dockerfile", "FROM busybox\nADD bomb.tar.gz /\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "more than"]);
    drop(box_);
    drop(small);
}

/// A gigabyte of zeros.
fn bomb() -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut gzip =
        Command::new("gzip").arg("-1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = gzip.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let mut builder = tar::Builder::new(input);
        let mut header = tar::Header::new_gnu();
        header.set_size(1 << 30);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        let zeros = std::io::Read::take(std::io::repeat(0), 1 << 30);
        builder.append_data(&mut header, "zeros", zeros).unwrap();
        builder.finish().unwrap();
    });
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    output.stdout
}
