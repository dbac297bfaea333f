//! Steps that do not wait for each other: at the same time, with the same image, and one failure ends all.

use std::time::{Duration, Instant};

use crate::harness::Sandbox;

/// Each of `a` and `b` waits for the other one, through a cache that they share.
const MEETING: &str = "FROM busybox AS a\n\
    RUN --mount=type=cache,id=meet,target=/m touch /m/a; until [ -e /m/b ]; do sleep 0.1; done; echo a > /a\n\
    FROM busybox AS b\n\
    RUN --mount=type=cache,id=meet,target=/m touch /m/b; until [ -e /m/a ]; do sleep 0.1; done; echo b > /b\n\
    FROM busybox\nCOPY --from=b /b /b\nCOPY --from=a /a /a\n";

#[test]
fn stages_are_built_at_the_same_time_and_each_line_says_which_it_is_about() {
    let box_ = Sandbox::new();
    let built = box_.build("m", MEETING);
    assert_eq!(box_.in_image("m", "cat /a /b"), "a\nb\n");
    for label in ["[a 1/2] FROM busybox AS a", "[b 2/2] RUN --mount", "[stage-2 3/3] COPY --from=a /a /a"] {
        let line = built.stderr.lines().find(|line| line.contains(label)).unwrap();
        let number = line.split(' ').next().unwrap();
        assert!(number.starts_with('#'), "{built}");
        assert!(label.contains("FROM") || built.stderr.contains(&format!("{number} DONE ")), "{built}");
    }
}

const THREE: &str = "FROM busybox AS one\nRUN echo 1 > /1\nFROM busybox AS two\nRUN echo 2 > /2\n\
    FROM two AS three\nRUN echo 3 > /3\nFROM busybox\nCOPY --from=three /3 /2 /\nENV X=1\nCOPY --from=one /1 /\n";

#[test]
fn the_image_and_its_history_are_the_same_however_many_steps_run_at_a_time() {
    let box_ = Sandbox::new();
    let mut images = Vec::new();
    for limit in ["1", "2", "9"] {
        box_.config(&format!("[engine]\nmax-parallelism = {limit}\n"));
        box_.write("Dockerfile", THREE);
        let built = box_.run("build --no-cache --explain -t t .").success();
        let lines: Vec<&str> = built.stdout.lines().filter(|line| line.starts_with("Dockerfile:")).collect();
        let order: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        images.push((box_.inspect("t", "{{.Id}}"), order));
    }
    assert_eq!(images[0].1.len(), 10, "{images:?}");
    assert!(images.iter().all(|image| *image == images[0]), "{images:?}");
}

#[test]
fn the_first_failure_ends_what_runs_and_is_the_error() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox AS slow\nRUN echo begun && sleep 300\nFROM busybox AS wrong\n\
         RUN sleep 2; echo 'last words'; exit 7\nFROM busybox\nCOPY --from=slow /x /\nCOPY --from=wrong /x /\n",
    );
    let begun = Instant::now();
    let failed = box_.run("build -t f .").fails(1).says("Dockerfile:4").says("exit code: 7").says("CANCELED");
    assert!(begun.elapsed() < Duration::from_secs(120));
    let again = failed.stderr.split("------\n > [wrong 2/2] RUN sleep 2").nth(1).unwrap();
    assert!(again.contains(" last words\n------\n"), "{failed}");
    box_.run("images -q f").success().prints("");
    assert_eq!(std::fs::read_dir(box_.root().join("claims")).unwrap().count(), 0);
}

#[test]
fn the_same_step_of_two_stages_is_carried_out_once() {
    let box_ = Sandbox::new();
    let same = "RUN sleep 1; cat /proc/sys/kernel/random/uuid > /id; echo ran";
    box_.write(
        "Dockerfile",
        format!(
            "FROM busybox AS a\n{same}\nFROM busybox AS b\n{same}\n\
             FROM busybox\nCOPY --from=a /id /a\nCOPY --from=b /id /b\n"
        ),
    );
    let built = box_.run("build --no-cache -t s .").success();
    let ran = built.stderr.lines().filter(|line| line.ends_with(" ran") && !line.contains("RUN"));
    assert_eq!(ran.count(), 1, "{built}");
    assert_eq!(built.stderr.matches("CACHED").count(), 1, "{built}");
    assert_eq!(box_.in_image("s", "cmp /a /b && echo same"), "same\n");
}

#[test]
fn progress_for_programs_is_json() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo shown; echo wrong >&2\nENV A=1\nCOPY Dockerfile /\n");
    box_.set("BUILDKIT_PROGRESS", "rawjson");
    let built = box_.run("build -t j .").success();
    let lines = built.stderr.lines().filter(|line| !line.starts_with("compiling"));
    let told: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let vertices = told[0]["vertexes"].as_array().unwrap();
    assert_eq!(vertices.len(), 3);
    assert_eq!(vertices[2]["name"], "[3/3] COPY Dockerfile /");
    assert_eq!(vertices[2]["inputs"][0], vertices[1]["digest"]);
    let logs: Vec<&serde_json::Value> =
        told.iter().flat_map(|line| line["logs"].as_array()).flatten().collect();
    assert!(logs.iter().any(|log| log["data"] == "c2hvd24K" && log["stream"] == 1), "{built}");
    assert!(logs.iter().any(|log| log["data"] == "d3JvbmcK" && log["stream"] == 2), "{built}");
    let last = told.iter().flat_map(|line| line["vertexes"].as_array()).flatten().next_back().unwrap();
    assert!(last["completed"].is_string() && last["error"].is_null(), "{built}");
    box_.set("BUILDKIT_PROGRESS", "loud");
    box_.refuses(1, &["build", "."], &["invalid BUILDKIT_PROGRESS \"loud\""]);
}
