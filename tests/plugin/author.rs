//! What the author of a plugin types.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::{Sandbox, program, repository};

/// A project whose component is one of the default plugins.
fn project(box_: &Sandbox, component: &str) -> PathBuf {
    let bytes = std::fs::read(prebuilt(component)).unwrap();
    box_.write(&format!("project/build/{component}.wasm"), bytes).ancestors().nth(2).unwrap().to_owned()
}

fn prebuilt(name: &str) -> PathBuf {
    repository().join(format!("plugins/prebuilt/{name}.wasm"))
}

#[test]
fn a_case_is_written_blessed_and_kept() {
    let box_ = Sandbox::empty();
    let project = project(&box_, "label");
    box_.run("plugin test project").fails(1).says("no test case in project/tests").says("--bless");
    box_.write("project/tests/two/Dockerfile", "FROM busybox\nLABEL a=1 b=two\nRUN true\n");
    box_.run("plugin test project").fails(1).shows("FAILED  two").shows("plan.json is not there");
    box_.run("plugin test project --bless").success().shows("blessed  two").shows("1 blessed");
    let plan = std::fs::read_to_string(project.join("tests/two/plan.json")).unwrap();
    let golden: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(golden[0]["statement"], "LABEL a=1 b=two");
    assert_eq!(golden[0]["line"], 2);
    assert_eq!(golden[0]["plan"]["config"][1]["label"], serde_json::json!(["b", "two"]));
    assert_eq!(golden.as_array().unwrap().len(), 1, "RUN is another plugin's");
    box_.run("plugin test project").success().shows("ok  two").shows("result: ok. 1 passed, 0 failed");

    box_.write("project/tests/two/Dockerfile", "FROM busybox\nLABEL a=1 b=three\n");
    let failed = box_.run("plugin test project").fails(1).shows("--- plan.json").shows("+++ this run");
    failed
        .shows("-            \"two\"")
        .shows("+            \"three\"")
        .shows("result: FAILED. 0 passed, 1 failed");
}

#[test]
fn an_error_is_expected_with_its_line() {
    let box_ = Sandbox::empty();
    let project = project(&box_, "stopsignal");
    box_.write("project/tests/wrong/Dockerfile", "FROM busybox\n\nSTOPSIGNAL SIGNOTHING\n");
    box_.write("project/tests/right/Dockerfile", "FROM busybox\nSTOPSIGNAL SIGTERM\n");
    box_.run("plugin test project --bless").success().shows("2 blessed");
    let error = std::fs::read_to_string(project.join("tests/wrong/error.txt")).unwrap();
    assert!(error.starts_with("Dockerfile:3: "), "{error}");
    assert!(error.contains("SIGNOTHING"), "{error}");
    box_.run("plugin test project").success().shows("2 passed");
    box_.run("plugin test project --filter wro").success().shows("ok  wrong").without("right");

    box_.write("project/tests/wrong/Dockerfile", "FROM busybox\n\nSTOPSIGNAL SIGINT\n");
    box_.run("plugin test project").fails(1).shows("an error is expected, and this came:");
    let json = box_.run("plugin test project --format json").fails(1).json();
    assert_eq!(json["plugin"], "stopsignal");
    assert_eq!(json["checks"][0]["result"], "passed");
    assert_eq!(json["checks"][1]["result"], "failed");
}

#[test]
fn a_case_has_files_arguments_and_an_image_of_its_own() {
    let box_ = Sandbox::empty();
    let project = project(&box_, "workdir");
    box_.write("project/tests/a/Dockerfile", "FROM anything\nARG WHERE\nWORKDIR $WHERE\n");
    box_.write("project/tests/a/args.toml", "WHERE = \"below\"\n");
    box_.write("project/tests/a/image.json", "{\"WorkingDir\": \"/image\"}\n");
    box_.run("plugin test project --bless").success();
    let plan = std::fs::read_to_string(project.join("tests/a/plan.json")).unwrap();
    assert!(plan.contains("below"), "{plan}");
    box_.write("project/tests/a/args.toml", "WHERE = 1\n");
    box_.run("plugin test project").fails(1).says("args.toml is wrong").says("string");
    box_.write("project/tests/a/args.toml", "");
    box_.write("project/tests/a/settings.toml", "colour = \"red\"\n");
    box_.run("plugin test project").fails(1).shows("colour");
}

#[test]
fn what_is_no_plugin_or_was_not_built_is_told() {
    let box_ = Sandbox::empty();
    box_.write("project/tests/a/Dockerfile", "FROM x\n");
    box_.run("plugin test project").fails(1).says("no component in project").says("plugin build");
    box_.write("project/x.wasm", "this is no component");
    box_.run("plugin test project").fails(1).says("x.wasm is not a plugin").says("not a component");
    box_.run("plugin test --conformance nobody").fails(1).says("no plugin is called `nobody`");
    box_.write("lib.so", b"\x7fELF\x02\x01\x01");
    box_.run("plugin test --conformance lib.so").fails(1).says("native library").says("--native");
}

#[test]
fn a_hook_is_shown_an_event() {
    let box_ = Sandbox::empty();
    let project = project(&box_, "guard");
    let event = r#"{"container": {"mounts": [{"kind": "bind", "source": "/secret", "target": "/x", "read-only": true}]}}"#;
    box_.write("project/tests/denied/event.json", event);
    box_.write("project/tests/denied/settings.toml", "deny = [\"/secret\"]\n");
    box_.write("project/tests/fine/event.json", "{\"container\": {}}");
    box_.run("plugin test project --bless").success().shows("2 blessed");
    let verdict =
        |case: &str| std::fs::read_to_string(project.join(format!("tests/{case}/verdict.json"))).unwrap();
    assert_eq!(verdict("fine"), "\"allow\"\n");
    assert!(
        verdict("denied").contains("\"deny\": [") && verdict("denied").contains("/secret"),
        "{}",
        verdict("denied")
    );
    box_.run("plugin test project").success().shows("2 passed");

    box_.write("project/tests/denied/settings.toml", "deny = []\n");
    box_.run("plugin test project")
        .fails(1)
        .shows("FAILED  denied")
        .shows("--- verdict.json")
        .shows("+\"allow\"");
    box_.write("project/tests/fine/event.json", "{\"container\": {\"mountz\": []}}");
    box_.run("plugin test project").fails(1).says("event.json is wrong").says("has no field `mountz`");
}

#[test]
fn every_default_plugin_conforms() {
    let box_ = Sandbox::new();
    let directory = std::fs::read_dir(repository().join("plugins/prebuilt")).unwrap();
    let files = directory.map(|file| file.unwrap().path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 24, "{names:?}");
    for name in names {
        let tested = box_.wharf(["plugin", "test", "--conformance", &name]).success();
        tested.shows("result: ok").shows("ok  it says the same of itself each time").without("skipped");
    }
}

/// A driver that forgets something, from the same kit as every other.
fn forgetful() -> PathBuf {
    let target = program().ancestors().nth(2).unwrap().join("forgetful");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--quiet", "--target-dir"]).arg(&target);
    let output = command.current_dir(repository().join("tests/plugin/forgetful")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("release/libforgetful.so")
}

#[test]
fn a_driver_that_forgets_something_is_found() {
    let box_ = Sandbox::empty();
    let library = forgetful();
    let test = |box_: &Sandbox, library: &Path| {
        box_.wharf(["plugin", "test", "--native", "--component", library.to_str().unwrap()])
    };
    let tested = test(&box_, &library).fails(1).shows("storage plugin forgetful");
    let tested = tested.shows("ok  create a container").shows("FAILED  nothing is left");
    tested.shows("left: container/").shows("journal").shows("left: state made/");
}

#[test]
fn a_build_is_recorded_and_its_plans_are_made_again() {
    let box_ = Sandbox::new();
    box_.write("note", "contents that no plugin reads\n");
    box_.write("Dockerfile", "FROM busybox\nARG V=1\nLABEL version=$V\nCOPY note /note\n");
    box_.run("build --record build.bundle --build-arg V=2 -t x .").success();
    let bundle = box_.read("build.bundle");
    assert!(bundle.starts_with("{\"wharf-bundle\":1,\"contract\":\"wharf:plugin@"), "{bundle}");
    assert!(bundle.contains("version") && !bundle.contains("contents that no plugin reads"), "{bundle}");

    std::fs::remove_file(box_.dir().join("note")).unwrap();
    box_.run("plugin replay build.bundle")
        .success()
        .shows("same  Dockerfile:4: COPY note /note")
        .shows("0 different");
    let label = prebuilt("label");
    let label = label.to_str().unwrap();
    let replay = ["plugin", "replay", "build.bundle", "--plugin", "label", "--component", label];
    box_.wharf(replay).success().shows("LABEL version=$V").shows("1 the same, 0 different");

    box_.write(
        "build.bundle",
        bundle.replace("\"Label\":[\"version\",\"2\"]", "\"Label\":[\"version\",\"3\"]"),
    );
    let changed =
        box_.run("plugin replay build.bundle --plugin label").fails(1).shows("DIFFERENT  Dockerfile:3");
    changed.shows("-        \"3\"").shows("+        \"2\"").shows("0 the same, 1 different");
    box_.run("plugin replay build.bundle --statement 99").fails(1).says("no statement of the record");
    box_.run("plugin replay Dockerfile").fails(1).says("not a bundle");
}

/// A plan that fails is recorded, too: that is when somebody wants to look at it.
#[test]
fn a_build_that_fails_is_recorded() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nSTOPSIGNAL SIGNOTHING\n");
    box_.run("build --record build.bundle .").fails(1).says("Dockerfile:2");
    box_.run("plugin replay build.bundle").success().shows("same  Dockerfile:2: STOPSIGNAL SIGNOTHING");
}

#[test]
fn what_a_plugin_costs_is_measured() {
    let box_ = Sandbox::empty();
    let table = box_.run("plugin bench label --calls 20").success();
    table.shows("compile").shows("call, median").shows("of 20: LABEL").shows("fuel");
    let component = prebuilt("run");
    box_.write("case/Dockerfile", "FROM busybox\nRUN --network=none echo $HOME\n");
    let args = [
        "plugin",
        "bench",
        component.to_str().unwrap(),
        "--case",
        "case",
        "--calls",
        "20",
        "--format",
        "json",
    ];
    let json = box_.wharf(args).success().json();
    assert_eq!(json["call"], "RUN --network=none echo $HOME");
    for key in ["compile-us", "load-us", "first-us", "median-us", "p99-us", "fuel", "memory", "size"] {
        assert!(json[key].as_u64().unwrap() > 0, "{key}: {json}");
    }
    for name in ["overlay", "bridge", "guard"] {
        let json = box_.wharf(["plugin", "bench", name, "--calls", "5", "--format", "json"]).success().json();
        assert!(json["median-us"].as_u64().unwrap() > 0, "{name}: {json}");
    }
}
