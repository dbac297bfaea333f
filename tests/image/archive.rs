//! import, save and load; what others make of our archives and we of theirs.

use std::process::Command;

use crate::harness::{Sandbox, has, host};

/// An image with what is hard to keep: links, modes, owners, a removed and a replaced file.
fn rich(box_: &Sandbox) {
    box_.build(
        "rich",
        "FROM busybox\nRUN mkdir /d && echo one > /d/a && ln /d/a /d/hard && ln -s a /d/soft && chown 1000:2000 /d/a && chmod 4751 /d/a\n\
         RUN rm /etc/group && rm -r /home && echo file > /home && mkfifo /d/fifo\nCMD [\"cat\", \"/d/a\"]\nENV A=1\n",
    );
}

const LOOK: &str = "cd /d; stat -c '%n %a %u:%g %h' a hard; readlink soft; test -p fifo && echo fifo; cat /home; test -e /etc/group || echo no group";
const SEEN: &str = "a 4751 1000:2000 2\nhard 4751 1000:2000 2\na\nfifo\nfile\nno group\n";

#[test]
fn an_image_survives_save_and_load_with_its_id() {
    let box_ = Sandbox::new();
    rich(&box_);
    assert_eq!(box_.in_image("rich", LOOK), SEEN);
    box_.run("tag rich also:v1").success();
    box_.run("save -o rich.tar rich also:v1").success().prints("");
    let other = box_.beside();
    let archive = box_.dir().join("rich.tar");
    let loaded = other.wharf(["load", "-i", archive.to_str().unwrap()]).success();
    assert!(
        loaded.stdout.contains("Loaded image: rich:latest\n")
            && loaded.stdout.contains("Loaded image: also:v1\n"),
        "{loaded}"
    );
    assert_eq!(box_.inspect("rich", "{{.Id}}"), other.inspect("rich", "{{.Id}}"));
    assert_eq!(other.in_image("rich", LOOK), SEEN);
    other.run("run --rm --network none rich").success().prints("one\n");
}

#[test]
fn save_writes_the_same_bytes_each_time_and_to_a_pipe_too() {
    let box_ = Sandbox::new();
    rich(&box_);
    for name in ["one.tar", "two.tar"] {
        box_.run(&format!("save -o {name} rich")).success();
    }
    let bytes = |name: &str| std::fs::read(box_.dir().join(name)).unwrap();
    assert!(bytes("one.tar") == bytes("two.tar"));
    let other = box_.beside();
    let piped = other.wharf_with(["load"], &bytes("one.tar")).success();
    assert_eq!(piped.stdout, "Loaded image: rich:latest\n");
}

#[test]
fn what_goes_into_an_archive_and_comes_out_of_one_is_an_event() {
    let box_ = Sandbox::new();
    let id = box_.inspect("busybox", "{{.Id}}");
    box_.run("save -o all.tar busybox").success();
    box_.run("load -i all.tar").success();
    let told = |action: &str| {
        let options = format!("events --since 10m --until 0s --filter type=image --filter event={action}");
        let told = box_.run(&options).success();
        assert!(told.stdout.contains(&format!("image {action} {id}")), "{action}: {told}");
    };
    told("save");
    told("load");
}

#[test]
fn archives_may_be_packed_in_any_way() {
    let box_ = Sandbox::new();
    let id = box_.inspect("busybox", "{{.Id}}");
    box_.run("save -o all.tar busybox").success();
    box_.write("tree/etc/motd", "hello\n");
    let at = |name: &str| box_.dir().join(name).to_str().unwrap().to_owned();
    host(&["tar", "-C", &at("tree"), "-cf", &at("tree.tar"), "."]);
    let other = box_.beside();
    for (program, ending) in [("bzip2", "bz2"), ("xz", "xz"), ("gzip", "gz"), ("zstd", "zst")] {
        if !has(program) {
            eprintln!("skipped: needs {program}");
            continue;
        }
        for archive in ["all.tar", "tree.tar"] {
            host(&[
                "sh",
                "-c",
                &format!("{program} -c {} > {}", at(archive), at(&format!("{archive}.{ending}"))),
            ]);
        }
        other.wharf(["load", "-i", &at(&format!("all.tar.{ending}"))]).success();
        assert_eq!(other.inspect("busybox", "{{.Id}}"), id, "{program}");
        other.run("rmi busybox").success();
        // A layer of an archive may be so, too: docker's list says nothing of how.
        let layer = at(&format!("tree.tar.{ending}"));
        let diff = host(&["sha256sum", &at("tree.tar")])[..64].to_owned();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{diff}"]}}}}"#
        );
        std::fs::create_dir_all(box_.dir().join("old")).unwrap();
        std::fs::copy(layer, box_.dir().join("old/layer.tar")).unwrap();
        box_.write("old/config.json", config);
        box_.write(
            "old/manifest.json",
            r#"[{"Config":"config.json","RepoTags":["old:1"],"Layers":["layer.tar"]}]"#,
        );
        host(&["tar", "-C", &at("old"), "-cf", &at("old.tar"), "."]);
        other.wharf(["load", "-i", &at("old.tar")]).success().prints("Loaded image: old:1\n");
        assert_eq!(other.inspect("old:1", "{{.RootFS.Layers}}"), format!("[sha256:{diff}]"));
        other.run("rmi old:1").success();
    }
}

#[test]
fn an_archive_from_before_docker_1_10_is_refused_by_name() {
    let box_ = Sandbox::new();
    box_.write("old/repositories", r#"{"app":{"1":"a"}}"#);
    box_.write("old/a/json", r#"{"id":"a"}"#);
    let at = |name: &str| box_.dir().join(name).to_str().unwrap().to_owned();
    host(&["tar", "-C", &at("old"), "-cf", &at("old.tar"), "."]);
    box_.refuses(1, &["load", "-i", "old.tar"], &["before 1.10", "hint:", "20.10"]);
    // It is written for whoever reads nothing else.
    box_.run("save -o new.tar busybox").success();
    let list = host(&["tar", "-xOf", &at("new.tar"), "repositories"]);
    let layers = box_.inspect("busybox", "{{len .RootFS.Layers}}");
    assert!(list.starts_with(r#"{"busybox":{"latest":""#) && layers == "1", "{list}");
    box_.run("save --format oci-archive -o oci.tar busybox").success();
    assert!(!host(&["tar", "-tf", &at("oci.tar")]).contains("repositories"));
}

#[test]
fn an_image_without_a_name_is_loaded_by_its_id() {
    let box_ = Sandbox::new();
    let id = box_.inspect("busybox", "{{.Id}}");
    box_.run(&format!("save -o id.tar {id}")).success();
    let other = box_.beside();
    let archive = box_.dir().join("id.tar");
    other
        .wharf(["load", "-i", archive.to_str().unwrap()])
        .success()
        .prints(&format!("Loaded image ID: {id}\n"));
}

#[test]
fn importing_twice_gives_the_same_image() {
    let box_ = Sandbox::new();
    box_.write("tree/etc/motd", "hello\n");
    let dir = box_.dir();
    host(&[
        "tar",
        "-C",
        dir.join("tree").to_str().unwrap(),
        "-czf",
        dir.join("tree.tar.gz").to_str().unwrap(),
        ".",
    ]);
    let one = box_.run("import tree.tar.gz").success();
    // A digest is not given; and nobody types an archive.
    let digest = format!("x@sha256:{}", "1".repeat(64));
    box_.refuses(1, &["import", "tree.tar.gz", &digest], &["holds a digest", "gets a tag"]);
    box_.write("Dockerfile", "FROM scratch\nCOPY tree /\n");
    box_.refuses(1, &["build", "-t", &digest, "."], &["holds a digest"]);
    box_.terminal("load").expect("requested load from stdin");
    let two = box_
        .wharf_with(["import", "-", "named:v1"], &std::fs::read(dir.join("tree.tar.gz")).unwrap())
        .success();
    assert_eq!(one.line(), two.line());
    assert_eq!(box_.inspect("named:v1", "{{.Id}}"), one.line());
}

#[test]
fn what_came_in_goes_away_whole() {
    let box_ = Sandbox::new();
    box_.build("d", "FROM busybox\nRUN echo x > /file\n");
    box_.run("save -o d.tar d").success();
    let other = box_.beside();
    let load = |name: &str| other.wharf(["load", "-i", box_.dir().join(name).to_str().unwrap()]).success();
    load("d.tar");
    other.run("rmi d").success();
    let before = other.traces();
    load("d.tar");
    other.run("rmi d").success();
    other.wharf(["import", box_.write("empty.tar", [0; 10_240]).to_str().unwrap(), "empty"]).success();
    other.run("rmi empty").success();
    other.left_nothing_since(&before);
}

#[test]
fn a_damaged_archive_is_refused_and_leaves_nothing() {
    let box_ = Sandbox::new();
    box_.build("d", "FROM busybox\nRUN echo words of this test > /file\n");
    box_.run("save -o good.tar d").success();
    let good = std::fs::read(box_.dir().join("good.tar")).unwrap();
    box_.run("rmi d").success();
    let mut damaged = good.clone();
    let at = good.windows(9).position(|window| window == b"this test").unwrap();
    damaged[at] = b'T';
    box_.write("damaged.tar", damaged);
    box_.write("short.tar", &good[..good.len() / 2]);
    box_.write("nothing.tar", "this is no archive");
    let other = box_.beside();
    other.wharf(["load", "-i", box_.dir().join("good.tar").to_str().unwrap()]).success();
    other.run("rmi d").success();
    for name in ["damaged.tar", "short.tar", "nothing.tar", "missing.tar"] {
        let path = box_.dir().join(name);
        other.refuses(1, &["load", "-i", path.to_str().unwrap()], &["error"]);
    }
    other.wharf(["load", "-i", box_.dir().join("good.tar").to_str().unwrap()]).success();
}

#[test]
fn other_tools_read_our_archives() {
    let box_ = Sandbox::new();
    rich(&box_);
    box_.run("save -o rich.tar rich").success();
    let archive = format!("docker-archive:{}", box_.dir().join("rich.tar").display());
    if has("skopeo") {
        let told = host(&["skopeo", "inspect", "--config", &archive]);
        assert!(told.contains("A=1"), "{told}");
        let copy = format!("oci:{}:rich", box_.dir().join("layout").display());
        host(&["skopeo", "--insecure-policy", "copy", &archive, &copy]);
    } else {
        eprintln!("skipped: skopeo is not installed");
    }
    if has("podman") {
        podman(&box_, &["load", "-i", box_.dir().join("rich.tar").to_str().unwrap()]);
        let listed = podman(&box_, &["images", "--format", "{{.Repository}} {{.Id}}"]);
        let id = box_.inspect("rich", "{{.Id}}");
        assert!(
            listed.contains(&id.trim_start_matches("sha256:")[..12]),
            "podman knows it by another id: {listed}"
        );
    } else {
        eprintln!("skipped: podman is not installed");
    }
}

#[test]
fn archives_of_others_are_read() {
    let box_ = Sandbox::new();
    if !has("podman") {
        eprintln!("skipped: podman is not installed");
        return;
    }
    box_.run("save -o busybox.tar busybox").success();
    podman(&box_, &["load", "-i", box_.dir().join("busybox.tar").to_str().unwrap()]);
    for format in ["docker-archive", "oci-archive"] {
        let path = box_.dir().join(format);
        podman(
            &box_,
            &["save", "--format", format, "-o", path.to_str().unwrap(), "docker.io/library/busybox:latest"],
        );
        let other = box_.beside();
        other.wharf(["load", "-i", path.to_str().unwrap()]).success();
        let id = other.run("images -q").success().line().to_owned();
        assert_eq!(other.in_image(&id, "head -n 1 /etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    }
}

/// With storage of its own that goes with the test.
pub(super) fn podman(box_: &Sandbox, args: &[&str]) -> String {
    let name = box_.dir().parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    // podman takes at most 50 characters here, wherever this repository is.
    let run_root = format!("/run/podman-{name}");
    let own = [format!("--root={}", box_.dir().join("podman").display()), format!("--runroot={run_root}")];
    let mut command = Command::new("podman");
    command.args(own).args(["--storage-driver=vfs", "--events-backend=none"]).args(args);
    let output = command.env("TMPDIR", box_.dir()).output().unwrap();
    std::fs::remove_dir_all(run_root).ok();
    assert!(output.status.success(), "podman {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
