//! A plugin in every language there are templates for: from `plugin new` to what it does to an image.
//!
//! What they are built with is installed by `./dev test`; a language that this machine lacks is skipped, and says
//! why.

use std::path::PathBuf;

use crate::harness::{Sandbox, program};

/// A sandbox in which `plugin new hello` of that language and kind is built, after `change` has had its way with the
/// project; its turn begins afterwards, so that nobody waits for a compiler.
fn built(kind: &str, language: &str, change: impl FnOnce(&Sandbox)) -> Option<(Sandbox, PathBuf)> {
    let mut box_ = Sandbox::before_its_turn();
    let component = component(&box_, kind, language, change)?;
    box_.begin();
    Some((box_, component))
}

fn component(box_: &Sandbox, kind: &str, language: &str, change: impl FnOnce(&Sandbox)) -> Option<PathBuf> {
    let new = format!("plugin new hello --kind {kind} --lang {language}");
    box_.run(&new).success().prints("hello\n").says("wharf plugin build");
    change(box_);
    toolchains(box_);
    let built = box_.run("plugin build hello");
    if built.status != 0 && built.stderr.contains("lacks") {
        eprintln!("skipped: no toolchain for {language}\n{}", built.stderr);
        return None;
    }
    let built = built.success();
    let [path, _, "kB", digest] = built.stdout.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("expected path, size and digest\n{built}");
    };
    let component = box_.dir().join(path);
    assert_eq!(super::digest(&component), digest, "{built}");
    Some(component)
}

/// Toolchains are where this user's are, and what only wharf needs is beside the program under test.
fn toolchains(box_: &Sandbox) {
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
        if let Ok(value) = std::env::var(name) {
            box_.set(name, &value);
        }
    }
    let tools = program().ancestors().nth(2).unwrap().join("tools");
    box_.set("WHARF_TOOLS", tools.to_str().unwrap());
}

fn configure(box_: &Sandbox, component: &std::path::Path, world: &str, lines: &str) {
    box_.config(&format!(
        "[plugin.hello]\nworld = \"{world}\"\nsource = \"file:{}\"\nlimits = {{ memory = \"256MiB\", fuel = 20_000_000_000, time_ms = 10_000 }}\n{lines}\n",
        component.display()
    ));
}

/// The template's instruction writes a file and sets a label.
fn an_instruction_in(language: &str) {
    let Some((box_, component)) = built("instruction", language, |_| {}) else { return };
    box_.run("plugin test hello").success().shows("result: ok. 2 passed, 0 failed");
    configure(&box_, &component, "instruction", "grants = { ops = [\"write\", \"config\"] }");
    box_.build("h", "FROM busybox\nARG WHO=world\nHELLO hello $WHO\n");
    assert_eq!(box_.in_image("h", "cat /etc/hello"), "hello world\n");
    assert_eq!(box_.inspect("h", "{{json .Config.Labels}}"), r#"{"hello":"hello world"}"#);
    box_.write("Dockerfile", "FROM busybox\nHELLO\n");
    box_.refuses(
        1,
        &["build", "-t", "x", "."],
        &["Dockerfile:2", "HELLO requires a text", "write `HELLO some words`"],
    );
    configure(&box_, &component, "instruction", "settings = { colour = \"red\" }");
    box_.refuses(1, &["build", "-t", "x", "."], &["plugin `hello`", "setting"]);
}

/// The template's hook wants a fixed tag.
fn a_hook_in(language: &str) {
    let Some((box_, component)) = built("hook", language, |_| {}) else { return };
    box_.run("plugin test hello").success().shows("result: ok. 2 passed, 0 failed");
    configure(
        &box_,
        &component,
        "hook",
        "required = true\nphases = [\"container:judge\"]\ngrants = { ops = [\"judge\"] }",
    );
    box_.run("tag busybox busybox:1.36").success();
    box_.run("run --rm --network none busybox:1.36 true").success();
    box_.run("run --rm --network none busybox true")
        .fails(125)
        .says("the image `busybox` has no fixed tag")
        .says("busybox:1.36");
}

#[test]
fn an_instruction_in_rust() {
    an_instruction_in("rust");
}

#[test]
fn an_instruction_in_c() {
    an_instruction_in("c");
}

#[test]
fn an_instruction_in_javascript() {
    an_instruction_in("js");
}

#[test]
fn an_instruction_in_python() {
    an_instruction_in("python");
}

#[test]
fn a_hook_in_rust() {
    a_hook_in("rust");
}

#[test]
fn a_hook_in_c() {
    a_hook_in("c");
}

#[test]
fn a_hook_in_javascript() {
    a_hook_in("js");
}

#[test]
fn a_hook_in_python() {
    a_hook_in("python");
}

/// Drivers are for Rust, of which there is one template each.
#[test]
fn a_network_driver_in_rust() {
    let Some((box_, network)) = built("network", "rust", |_| {}) else { return };
    configure(
        &box_,
        &network,
        "network",
        "grants = { ops = [\"sysctl\"] }\n[network.alone]\ndriver = \"hello\"",
    );
    let show = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; ls /sys/class/net";
    let shown = box_.wharf(["run", "--rm", "--network", "alone", "busybox", "sh", "-c", show]).success();
    assert_eq!(shown.stdout, "0\nlo\n");
}

#[test]
fn a_storage_driver_in_rust() {
    let Some((box_, storage)) = built("storage", "rust", |_| {}) else { return };
    let other = box_.beside();
    box_.run("save -o busybox.tar busybox").success();
    let grants = "grants = { ops = [\"directory\", \"remove-tree\", \"mount-directory\"] }\n[engine]\nstorage = \"hello\"";
    configure(&other, &storage, "storage", grants);
    other.wharf(["load", "-i", box_.dir().join("busybox.tar").to_str().unwrap()]).success();
    other.build("s", "FROM busybox\nRUN echo one > /one\n");
    assert_eq!(other.in_image("s", "cat /one; mount | grep -c ' / type overlay'; true"), "one\n0\n");
}

/// What a plugin learns of this machine, of its time and of chance: nothing, and the same every time.
#[test]
fn wasi_says_nothing_to_a_plugin_in_c() {
    let change = |box_: &Sandbox| {
        let source = box_.read("hello/src/plugin.c");
        let asking = source
            .replace("#include <stdlib.h>\n", "#include <dirent.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <time.h>\n#include <unistd.h>\n")
            .replace(
                "    if (body.len == 0)",
                "    unsigned chance = 0;\n    getentropy(&chance, sizeof chance);\n    char *said = malloc(200);\n    \
                 const char *home = getenv(\"HOME\");\n    DIR *root = opendir(\"/\");\n    \
                 snprintf(said, 200, \"time %lld, home %s, root %s, chance %u\", (long long)time(NULL), home ? home : \"none\", \
                 root ? \"there\" : \"none\", chance);\n    printf(\"printed\\n\");\n    body = text(said);\n    if (body.len == 0)",
            );
        assert_ne!(source, asking);
        box_.write("hello/src/plugin.c", asking);
    };
    let Some((box_, component)) = built("instruction", "c", change) else { return };
    says_the_same_twice(&box_, &component);
}

#[test]
fn wasi_says_nothing_to_a_plugin_in_python() {
    let change = |box_: &Sandbox| {
        let source = box_.read("hello/src/plugin.py");
        let asking = source.replace(
            "        if not text:\n",
            "        import os, time\n        try:\n            root = os.listdir(\"/\")\n        except OSError:\n            root = \"none\"\n        \
             print(\"printed\")\n        \
             text = f\"time {int(time.time())}, home {os.environ.get('HOME', 'none')}, root {root}, chance {os.urandom(4).hex()}\"\n        \
             if not text:\n",
        );
        assert_ne!(source, asking);
        box_.write("hello/src/plugin.py", asking);
        let script = box_.read("hello/build.sh");
        box_.write("hello/build.sh", script.replace(" --stub-wasi", ""));
    };
    let Some((box_, component)) = built("instruction", "python", change) else { return };
    says_the_same_twice(&box_, &component);
}

#[track_caller]
fn says_the_same_twice(box_: &Sandbox, component: &std::path::Path) {
    configure(box_, component, "instruction", "grants = { ops = [\"write\", \"config\"] }");
    box_.build("first", "FROM busybox\nHELLO x\n");
    let said = box_.in_image("first", "cat /etc/hello");
    assert!(said.starts_with("time 0, home none, root none, chance "), "{said}");
    box_.run("build --no-cache -t second .").success();
    assert_eq!(box_.in_image("second", "cat /etc/hello"), said);
    box_.build("dated", "FROM busybox\nARG SOURCE_DATE_EPOCH=1700000000\nHELLO x\n");
    let dated = box_.in_image("dated", "cat /etc/hello");
    assert_eq!(dated, said.replace("time 0,", "time 1700000000,"));
}

#[test]
fn a_project_is_not_written_over_another() {
    let box_ = Sandbox::empty();
    box_.run("plugin new hello --lang js").success();
    box_.run("plugin new hello --lang c").fails(1).says("hello is not empty").says("--dir");
    box_.run("plugin new Hello").fails(125).says("small letters");
    box_.run("plugin build .").fails(1).says("build.sh").says("plugin new");
}

#[test]
fn what_is_missing_is_named_with_the_command_that_installs_it() {
    let box_ = Sandbox::empty();
    box_.run("plugin new hello --lang js").success();
    box_.set("WHARF_TOOLS", "/nowhere/at/all");
    box_.run("plugin build hello")
        .fails(1)
        .says("npm install")
        .says("componentize-js@")
        .says("--install-tools");
    let script = "#!/bin/sh\n[ \"${1:-}\" != --missing ] || { [ -e tool ] || echo touch tool; exit; }\ncat tool > out.wasm; echo out.wasm\n";
    box_.write("own/build.sh", script);
    box_.run("plugin build own").fails(1).says("touch tool");
    box_.run("plugin build --install-tools own").success().says("$ touch tool").prints(
        "own/out.wasm  0 kB  sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
    );
    box_.write("own/build.sh", "#!/bin/sh\n[ \"${1:-}\" = --missing ] || exit 3\n");
    box_.run("plugin build own").fails(1).says("build.sh failed").says("3");
    box_.write("own/build.sh", "#!/bin/sh\n[ \"${1:-}\" = --missing ] || echo nothing.wasm\n");
    box_.run("plugin build own").fails(1).says("name of the file");
}

/// The C side of the contract is generated beforehand, so that nobody needs the generator.
#[test]
fn the_bindings_for_c_are_what_the_generator_makes() {
    let script = crate::harness::repository().join("plugins/c-glue/run");
    let target = program().ancestors().nth(2).unwrap().to_owned();
    let check =
        std::process::Command::new(script).arg("--check").env("CARGO_TARGET_DIR", target).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(
        check.status.success(),
        "run plugins/c-glue/run\n{said}{}",
        String::from_utf8_lossy(&check.stderr)
    );
}
