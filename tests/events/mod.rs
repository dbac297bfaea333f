//! `wharf events`: docker's events, and what plugins asked the engine to do.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::harness::Sandbox;

/// `TYPE ACTION` of each line that was written since the sandbox was made.
fn told(box_: &Sandbox, since: &str, more: &str) -> Vec<String> {
    let line = format!("events --since {since} --until 0s {more}");
    let output = box_.run(&line).success();
    let words = |line: &str| line.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ");
    output.stdout.lines().map(words).collect()
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1)); // `--since` takes whole seconds
    (now.as_secs() + 1).to_string()
}

#[test]
fn a_containers_life_is_told_in_dockers_order() {
    let box_ = Sandbox::new();
    let since = now();
    // Not a name that an id may begin with: filters take both.
    box_.run("run -d --network none --name life -v v:/data --label tier=front busybox sleep 60").success();
    box_.run("exec life echo hi").success();
    box_.run("stop -t 0 life").success();
    box_.run("rm life").success();
    box_.run("run --rm --network none busybox false").fails(1);
    box_.run("volume rm v").success();
    let expected = [
        "volume create",
        "container create",
        "network connect",
        "volume mount",
        "container start",
        "container exec_create:",
        "container exec_start:",
        "container kill",
        "container die",
        "network disconnect",
        "volume unmount",
        "container stop",
        "container destroy",
        "container create",
        "container attach",
        "network connect",
        "container start",
        "container die",
        "network disconnect",
        "container destroy",
        "volume destroy",
    ];
    let told_ = told(&box_, &since, "");
    let told_: Vec<&str> =
        told_.iter().map(String::as_str).filter(|line| *line != "network create").collect();
    assert_eq!(told_, expected);

    assert_eq!(told(&box_, &since, "-f container=life -f event=die"), ["container die"]);
    assert_eq!(told(&box_, &since, "-f label=tier=front -f event=start"), ["container start"]);
    assert_eq!(told(&box_, &since, "-f type=volume -f event=create -f event=destroy").len(), 2);
    let line =
        format!("events --since {since} --until 0s -f event=die --format {{{{.Actor.Attributes.exitCode}}}}");
    box_.run(&line).success().prints("137\n1\n");
    let json = format!("events --since {since} --until 0s -f container=life -f event=create --format json");
    let json: serde_json::Value = serde_json::from_str(box_.run(&json).success().line()).unwrap();
    assert_eq!(
        (&json["status"], &json["Type"], &json["from"]),
        (&"create".into(), &"container".into(), &"busybox".into())
    );
    assert_eq!(json["Actor"]["ID"], json["id"]);
    assert_eq!(json["Actor"]["Attributes"]["name"], "life");
    assert_eq!(json["Actor"]["Attributes"]["tier"], "front");
}

#[test]
fn a_container_that_runs_out_of_memory_is_told_of() {
    let box_ = Sandbox::new();
    let since = now();
    let eat = "run --rm --network none -m 16m busybox sh -c";
    let mut line: Vec<&str> = eat.split(' ').collect();
    line.push("dd if=/dev/zero of=/dev/null bs=64M count=1");
    box_.wharf(line).fails(137);
    assert_eq!(told(&box_, &since, "-f event=oom -f event=die"), ["container oom", "container die"]);
}

#[test]
fn images_are_told_of() {
    let box_ = Sandbox::new();
    let since = now();
    box_.build("one", "FROM busybox\nLABEL a=b\n");
    box_.run("tag one two").success();
    box_.run("save -o one.tar one").success();
    box_.run("rmi one two").success();
    box_.run("load -i one.tar").success();
    let expected = ["build", "tag", "tag", "save", "untag", "untag", "delete", "load"];
    assert_eq!(told(&box_, &since, "-f type=image"), expected.map(|action| format!("image {action}")));
    assert_eq!(told(&box_, &since, "-f image=two").len(), 2);
}

#[test]
fn what_happens_is_seen_as_it_happens() {
    let box_ = Sandbox::new();
    let mut command = box_.command(["events", "-f", "type=container"]);
    let mut events = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    std::thread::sleep(std::time::Duration::from_millis(500));
    box_.run("create --network none --name c busybox true").success();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains(" container create ") && line.ends_with("(image=busybox, name=c)"), "{line}");
    box_.run("rm c").success();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains(" container destroy "), "{line}");
    events.kill().unwrap();
    events.wait().unwrap();
}

#[test]
fn what_plugins_asked_for_is_kept_with_their_digests() {
    let box_ = Sandbox::new();
    let since = now();
    box_.run("run --rm busybox true").success();
    box_.build("b", "FROM busybox\nENV TOKEN=hunter2\nRUN echo secret-$TOKEN > /dev/null\n");
    let overlay = told(&box_, &since, "--plugin overlay");
    for step in ["operation mkdir", "operation mount-overlay", "operation rename", "operation remove-tree"] {
        assert!(overlay.iter().any(|line| line == step), "{step} in {overlay:?}");
    }
    let bridge = told(&box_, &since, "--plugin bridge");
    for step in ["operation veth", "operation address", "operation route", "operation undo"] {
        assert!(bridge.iter().any(|line| line == step), "{step} in {bridge:?}");
    }
    assert_eq!(told(&box_, &since, "--plugin run"), ["operation exec"]);
    let all = box_.run(&format!("events --plugin --since {since} --until 0s")).success().without("hunter2");
    assert!(all.line_with("operation veth").contains("plugin=bridge"), "{all}");
    assert!(all.line_with("operation veth").contains("digest=sha256:"), "{all}");

    let directory = box_.root().join("events");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("now.jsonl"))), (0o700, 0o600));
}

#[test]
fn a_filter_that_is_none_is_told() {
    let box_ = Sandbox::new();
    box_.refuses(1, &["events", "-f", "colour=red"], &["invalid filter 'colour'", "container"]);
    box_.refuses(1, &["events", "-f", "type"], &["bad format of filter"]);
    box_.run("events --since yesterday").fails(125).says("RFC 3339");
}

/// A full disk must not keep things from being removed.
#[test]
fn a_journal_that_can_not_be_written_stops_nothing() {
    let box_ = Sandbox::new();
    let directory = box_.root().join("events");
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::write(&directory, "in the way").unwrap();
    box_.run("run --rm --network none busybox true").success();
    box_.run("events --until 0s").fails(1).says("cannot read the journal");
    std::fs::remove_file(&directory).unwrap();
}

/// Who may do what is decided in the config; what was decided when is in the journal.
#[test]
fn what_is_done_to_plugins_is_told() {
    let box_ = Sandbox::new();
    let bytes = std::fs::read(crate::harness::repository().join("plugins/prebuilt/label.wasm")).unwrap();
    let file = box_.write("note.wasm", bytes);
    let add = ["plugin", "add", file.to_str().unwrap(), "--name", "note", "--as", "LABEL=NOTE"];
    box_.wharf(add).success();
    box_.run("plugin grant note ops:config").success();
    box_.run("plugin grant note ops:config --revoke --dry-run").success();
    box_.run("plugin grant note ops:config --revoke").success();
    box_.run("plugin remove note").success();

    let said = told(&box_, "1h", "--filter plugin=note --filter type=plugin");
    assert_eq!(said, ["plugin add", "plugin grant", "plugin revoke", "plugin remove"]);
}
