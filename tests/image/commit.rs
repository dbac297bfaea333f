//! commit and export: images and archives of containers.

use super::archive::podman;
use crate::harness::{Page, Sandbox, Web, configured, eventually, has, host};

/// A container, not removed, that did all that is hard to keep.
const SCRIPT: &str = "rm /etc/group; rm -r /dir; mkdir /dir; echo new > /dir/new; ln /dir/new /dir/hard; ln -s new /dir/soft; \
    mknod /dir/node c 1 3; mkfifo /dir/fifo; chown 1000:2000 /dir/new; chmod 4751 /dir/new; mv /able /dir/able";
const LOOK: &str = "ls /dir; cd /dir; stat -c '%n %a %u:%g %h %F' new hard node fifo; readlink soft; test -e /etc/group || echo no group";
const SEEN: &str = "able\nfifo\nhard\nnew\nnode\nsoft\nnew 4751 1000:2000 2 regular file\nhard 4751 1000:2000 2 regular file\n\
    node 644 0:0 1 character special file\nfifo 644 0:0 1 fifo\nnew\nno group\n";

fn changed(box_: &Sandbox) {
    box_.write("able", "#!/bin/sh\n");
    if has("setcap") {
        host(&["setcap", "cap_net_raw+ep", box_.dir().join("able").to_str().unwrap()]);
    } else {
        eprintln!("skipped: a file with a capability needs setcap");
    }
    // COPY leaves extended attributes behind, and ADD unpacks them.
    let dir = box_.dir();
    let pack = ["tar", "--xattrs", "--xattrs-include=security.capability", "-C", dir.to_str().unwrap()];
    host(&[&pack[..], &["-cf", dir.join("able.tar").to_str().unwrap(), "able"]].concat());
    box_.build(
        "base",
        "FROM busybox\nRUN mkdir /dir && echo old > /dir/old\nADD able.tar /\nENV A=1\nCMD [\"true\"]\n",
    );
    box_.wharf(["run", "--network", "none", "--name", "it", "-e", "B=2", "base", "sh", "-c", SCRIPT])
        .success();
}

#[test]
fn a_container_becomes_an_image_with_all_that_it_changed() {
    for driver in ["overlay", "copy"] {
        let box_ = Sandbox::new();
        box_.config(&format!("[engine]\nstorage = \"{driver}\"\n"));
        // The image before was unpacked by another driver.
        box_.run("save -o busybox.tar busybox").success();
        box_.run("rmi busybox").success();
        box_.run("load -q -i busybox.tar").success();
        changed(&box_);
        let change = [
            "-c",
            "CMD [\"cat\", \"/dir/new\"]",
            "-c",
            "ENV C=$B",
            "-c",
            "EXPOSE 80",
            "-c",
            "LABEL l=m",
            "-c",
            "USER 5",
            "-c",
            "WORKDIR /w",
        ];
        let named = ["-a", "A Sailor", "-m", "why so", "it", "team/done:v1"];
        let id = box_.wharf(["commit"].iter().chain(&change).chain(&named)).success().line().to_owned();
        assert!(id.starts_with("sha256:") && id.len() == 71, "{id}");
        assert_eq!(box_.inspect("team/done:v1", "{{.Id}}"), id);
        let run = ["run", "--rm", "--network", "none", "--user", "0", "team/done:v1", "sh", "-c", LOOK];
        box_.wharf(run).success().prints(SEEN);
        let config = box_.inspect(&id, "{{.Author}} {{.Comment}} {{.Config.Cmd}} {{.Config.User}} {{.Config.WorkingDir}} {{.Config.Labels.l}}");
        assert_eq!(config, "A Sailor why so [cat /dir/new] 5 /w m");
        let env = box_.inspect(&id, "{{.Config.Env}} {{.Config.ExposedPorts}}");
        assert!(env.contains("A=1 B=2 C=2") && env.contains("80/tcp"), "{env}");
        box_.run(&format!("history --no-trunc {id}")).success().line_with("why so");
        // The container is as it was, and can be committed again and removed.
        box_.wharf(["commit", "it"]).success();
        box_.run("rm it").success();

        box_.run("save -o done.tar team/done:v1").success();
        let bytes = std::fs::read(box_.dir().join("done.tar")).unwrap();
        let has_capability = bytes.windows(32).any(|window| window == b"SCHILY.xattr.security.capability");
        assert_eq!(has_capability, has("setcap"), "with {driver}");
        let other = box_.beside();
        other.wharf(["load", "-i", box_.dir().join("done.tar").to_str().unwrap()]).success();
        assert_eq!(other.inspect("team/done:v1", "{{.Id}}"), id, "with {driver}");
        other.wharf(run).success().prints(SEEN);
        if has("podman") {
            podman(&box_, &["load", "-i", box_.dir().join("done.tar").to_str().unwrap()]);
            let known = podman(&box_, &["image", "inspect", "--format", "{{.Id}}", "team/done:v1"]);
            assert!(id.ends_with(known.trim()), "{known}");
        } else {
            eprintln!("skipped: podman is not installed");
        }
    }
}

#[test]
fn a_running_container_is_committed_and_goes_on() {
    let box_ = Sandbox::new();
    box_.wharf([
        "run",
        "-d",
        "--network",
        "none",
        "--name",
        "it",
        "busybox",
        "sh",
        "-c",
        "echo 1 > /one; while :; do sleep 0.05; date > /tick; done",
    ])
    .success();
    eventually("it ticks", || box_.run("exec it cat /tick").status == 0);
    box_.run("commit it one").success();
    box_.run("commit --pause=false it two").success();
    for image in ["one", "two"] {
        assert_eq!(box_.in_image(image, "cat /one"), "1\n");
    }
    box_.run("exec it rm /tick").success();
    eventually("it still ticks", || box_.run("exec it cat /tick").status == 0);
    box_.run("events --since 0 --until 0s --filter event=commit").success().line_with("container commit");
    box_.run("rm -f it").success();
    // Nothing changed: a step of the history without a layer.
    let made = box_.run("create --network none --name still busybox true").success();
    box_.run("commit -m nothing still three").success();
    let layers = "{{.RootFS.Layers}}";
    assert_eq!(box_.inspect("three", layers), box_.inspect("busybox", layers));
    box_.run("history three").success().line_with("nothing");

    box_.refuses(1, &["commit", "nobody"], &["No such container: nobody"]);
    box_.refuses(1, &["commit", "still", "UPPER"], &["lowercase"]);
    box_.refuses(1, &["commit", "-c", "RUN true", "still"], &["--change", "hint:", "wharf build"]);
    let stage = ["FROM begins a stage, which --change can not", "hint:", "wharf build"];
    box_.refuses(1, &["commit", "-c", "FROM busybox", "still"], &stage);
    box_.refuses(125, &["commit", "--no-pause", "--pause", "still"], &["cannot be used with"]);
    box_.refuses(1, &["commit", "-c", "NOTHING x", "still", "never"], &["NOTHING"]);
    box_.run("images -q never").success().prints("");
    box_.run(&format!("rm {}", made.line())).success();
}

#[test]
fn hooks_judge_an_image_of_a_container_too() {
    let box_ = Sandbox::new();
    box_.run("create --network none --name it busybox true").success();
    let settings = |grants: &str| {
        configured(
            "sbom",
            "hook",
            &format!("required = true\ngrants = {grants}\nlimits = {{ time_ms = 20000 }}"),
        )
    };
    box_.config(&settings("{ ops = [\"adjust\"], read = [\"image\"] }"));
    box_.run("commit it listed").success();
    box_.run("image attachment listed").success().line_with("sbom.cdx.json");
    box_.config(&settings("{ ops = [\"adjust\"] }"));
    box_.refuses(1, &["commit", "it", "never"], &["sbom", "read"]);
    box_.run("images -q never").success().prints("");
    box_.run("rm it").success();
}

#[test]
fn an_export_can_be_imported() {
    let box_ = Sandbox::new();
    changed(&box_);
    box_.run("export -o files.tar it").success().prints("");
    let piped = box_.command(["export", "it"]).output().unwrap();
    assert!(piped.stdout == std::fs::read(box_.dir().join("files.tar")).unwrap(), "the same bytes each time");
    box_.terminal("export it").expect("refusing to write an archive to a terminal");
    box_.refuses(1, &["export", "nobody"], &["No such container"]);
    let listed = host(&["tar", "-tf", box_.dir().join("files.tar").to_str().unwrap()]);
    assert!(listed.lines().any(|name| name == "dir/new") && !listed.contains(".wh."), "{listed}");

    let change = [
        "import",
        "-m",
        "brought",
        "-c",
        "CMD [\"sh\"]",
        "-c",
        "ENV X=1",
        "--platform",
        "linux/s390x",
        "files.tar",
        "flat:v1",
    ];
    box_.wharf(change).success();
    let shown = box_.inspect(
        "flat:v1",
        "{{.Architecture}} {{.Comment}} {{.Config.Cmd}} {{.Config.Env}} {{len .RootFS.Layers}}",
    );
    assert_eq!(shown, "s390x brought [sh] [X=1] 1");
    let from_stdin = box_.wharf_with(["import", "-", "piped"], &piped.stdout).success();
    assert!(from_stdin.line().starts_with("sha256:"));
    let run = ["run", "--rm", "--network", "none", "piped", "sh", "-c", LOOK];
    box_.wharf(run).success().prints(SEEN);

    let web = Web::serve([("/files.tar", Page { body: piped.stdout, ..Page::default() })]);
    box_.wharf(["import", &web.url("/files.tar"), "webbed"]).success();
    assert_eq!(box_.inspect("webbed", "{{.RootFS.Layers}}"), box_.inspect("piped", "{{.RootFS.Layers}}"));
    box_.refuses(1, &["import", &web.url("/nothing"), "never"], &["404"]);
    box_.run("images -q never").success().prints("");
    // One that runs is written as well.
    box_.run("run -d --network none --name runs busybox sleep 60").success();
    box_.run("export -o runs.tar runs").success();
    box_.run("rm -f runs").success();
    box_.run("rm it").success();
}
