//! `wharf plugin ls`, `inspect`, `add`, `remove`, `bundle`, `wit`.

use std::fs;
use std::path::PathBuf;

use super::digest;
use crate::harness::{Sandbox, repository};

/// A component that wharf brings, as a file of somebody's.
pub(super) fn component(box_: &Sandbox, name: &str) -> PathBuf {
    let bytes = fs::read(repository().join(format!("plugins/prebuilt/{name}.wasm"))).unwrap();
    box_.write(&format!("{name}.wasm"), bytes)
}

/// The config that every command reads, and the lock beside it.
pub(super) fn config_of(box_: &Sandbox) -> (PathBuf, PathBuf) {
    let folder = box_.dir().parent().unwrap().to_owned();
    (folder.join("wharf.toml"), folder.join("wharf.lock"))
}

#[test]
fn what_there_is_is_listed() {
    let box_ = Sandbox::new();
    let list = box_.run("plugin ls").success();
    assert!(list.stdout.starts_with("NAME"), "{list}");
    for (name, words) in [
        ("run", ["instruction", "RUN", "embedded:run", "embedded"]),
        ("overlay", ["storage", "overlay", "embedded:overlay", "embedded"]),
        ("bridge", ["network", "bridge", "embedded:bridge", "embedded"]),
        ("guard", ["hook", "container:judge", "embedded:guard", "embedded"]),
    ] {
        let line = list.stdout.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
        let grants = if name == "run" { " 8 of 9 " } else { " all " };
        assert!(line.contains(grants), "what it asks for and has: {line}");
    }
    let names = box_.run("plugin ls -q").success().stdout;
    assert!(names.lines().count() >= 24 && names.lines().any(|name| name == "copy"), "{names}");
    let template = ["plugin", "ls", "--format", "{{.Name}}={{.World}}/{{.State}}"];
    box_.wharf(template).success().shows("label=instruction/embedded\n");
    box_.wharf(["plugin", "ls", "--format", "json"]).success().shows(r#""Name":"arg","World":"instruction""#);
}

#[test]
fn a_plugin_is_added_used_and_removed() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    box_.config("# mine\n[engine]\nstorage = \"overlay\" # as always\n");
    let file = component(&box_, "label");
    let added = box_.run("plugin add label.wasm --name mark --as LABEL=MARK --grant-all").success();
    let added = added.prints("mark\n").says("added mark").says("granted").says("ops:config");
    added.says("wharf.lock").without("to grant the rest");

    let toml = fs::read_to_string(&config).unwrap();
    let expected = format!(
        "# mine\n[engine]\nstorage = \"overlay\" # as always\n\n[plugin.mark]\nsource = \"file:{}\"\n\
         digest = \"{}\"\nworld = \"instruction\"\nkeywords = {{ LABEL = \"MARK\" }}\ngrants = {{ ops = [\"config\"] }}\n",
        file.display(),
        digest(&file)
    );
    assert_eq!(toml, expected);
    let pins = fs::read_to_string(&lock).unwrap();
    for word in ["[plugin.mark]", &digest(&file), "keywords = [\"MARK\"]", "grants = [\"ops:config\"]"] {
        assert!(pins.contains(word), "{pins}");
    }

    let state = ["plugin", "ls", "--format", "{{.Name}} {{.Provides}} {{.Grants}} {{.State}}"];
    box_.wharf(state).success().shows("mark MARK all ok\n");
    box_.build("m", "FROM busybox\nMARK a=1\n");
    assert_eq!(box_.inspect("m", "{{json .Config.Labels}}"), r#"{"a":"1"}"#);

    // The engine has its own copy.
    fs::remove_file(&file).unwrap();
    box_.build("m", "FROM busybox\nMARK a=2\n");
    box_.run("plugin ls").success().says("mark: ").says("is gone");

    box_.run("plugin remove mark").success().prints("mark\n");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n[engine]\nstorage = \"overlay\" # as always\n");
    assert!(!fs::read_to_string(&lock).unwrap().contains("mark"));
    assert_eq!(fs::read_dir(box_.root().join("plugins/code")).unwrap().count(), 0);
    box_.write("Dockerfile", "FROM busybox\nMARK a=1\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["unknown instruction: MARK"]);
}

#[test]
fn what_can_not_be_added_leaves_nothing() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    box_.config("# untouched\n");
    component(&box_, "label");
    box_.write("text.wasm", "this is no component");
    box_.write("core.wasm", b"\0asm\x01\0\0\0");
    box_.write("bad.tar", [vec![0_u8; 257], b"ustar".to_vec(), vec![0; 1000]].concat());
    for (line, words) in [
        ("plugin add none.wasm", &["none.wasm", "cannot read"][..]),
        ("plugin add text.wasm", &["text.wasm", "not a component", "wasm-tools component new"]),
        ("plugin add core.wasm", &["core.wasm", "core WebAssembly module"]),
        ("plugin add bad.tar", &["bad.tar", "not a bundle"]),
        ("plugin add label.wasm", &["a plugin `label` already", "built-in defaults", "--name"]),
        ("plugin add label.wasm --name mine", &["LABEL", "mine", "label", "--as LABEL=MY_LABEL"]),
        ("plugin add label.wasm --name Mine --as LABEL=M", &["plugin.Mine: not a name", "lower-case"]),
        ("plugin add label.wasm --name m --as TAG=M", &["no keyword TAG", "it has: LABEL"]),
        ("plugin add label.wasm --name m --as LABEL=1", &["--as LABEL=1", "not a keyword"]),
        (
            "plugin add label.wasm --name m --as LABEL=M --grant ops:exce",
            &["ops:exce", "did you mean `exec`?"],
        ),
        ("plugin add label.wasm --name m --as LABEL=M --grant exec", &["it has no key", "ops:exec"]),
        (
            "plugin add label.wasm --name m --as LABEL=M --grant ops:exec",
            &["does not request `ops:exec`", "it requests: ops:config"],
        ),
    ] {
        let line: Vec<&str> = line.split(' ').collect();
        let output = box_.wharf(&line).fails(1);
        let output = words.iter().fold(output, |output, word| output.says(word));
        assert_eq!(output.stdout, "", "{output}");
        assert_eq!(fs::read_to_string(&config).unwrap(), "# untouched\n", "after {line:?}");
        assert!(!lock.exists(), "after {line:?}");
        let code = box_.root().join("plugins/code");
        assert_eq!(fs::read_dir(&code).map_or(0, Iterator::count), 0, "after {line:?}");
    }
}

#[test]
fn a_native_library_takes_the_words_that_trust_it() {
    let box_ = Sandbox::new();
    let library = super::native_example();
    let path = library.to_str().unwrap();
    box_.wharf(["plugin", "add", path])
        .fails(1)
        .says("native library")
        .says(&digest(&library))
        .says("--trust");
    box_.wharf(["plugin", "inspect", path]).fails(1).says("native library");
    box_.wharf(["plugin", "add", path, "--trust", "native-full", "--grant-all"]).success().prints("stamp\n");
    box_.build("s", "FROM busybox\nSTAMP release 1.4\n");
    assert_eq!(box_.in_image("s", "cat /etc/stamp/release"), "1.4\n");
    box_.run("plugin inspect stamp").success().shows("native-full: it can do whatever wharf can");
}

#[test]
fn everything_about_a_plugin_is_shown() {
    let box_ = Sandbox::new();
    component(&box_, "run");
    box_.config("[plugin.run]\nlimits = { memory = \"20MiB\", fuel = 1234567, time_ms = 250 }\n");
    let shown = box_.run("plugin inspect run").success();
    let shown = shown.shows("world      instruction").shows("memory 20 MiB, fuel 1234567, time 250 ms");
    let shown = shown.shows("RIGHT").shows("ops:exec").shows("not granted").shows("net:host");
    let shown = shown.shows("RUN: ").shows("--mount=...").shows("--network=...");
    shown.shows("wharf:plugin/instruction@0.1").shows("wharf:plugin/types@0.1").without("wasi");

    let file = box_.run("plugin inspect --format json run ./run.wasm").success().json();
    assert_eq!(file[0]["Configured"], true, "a name comes before a file");
    let details = &file[1];
    assert_eq!((&details["Name"], &details["Configured"]), (&"run".into(), &false.into()));
    assert_eq!(details["Rights"][0]["Standing"], "not granted");
    assert!(details["Compiled"]["Size"].as_u64().unwrap() > 10_000);
    assert_eq!(details["Keywords"][0]["Name"], "RUN");
    assert!(details["Size"].as_u64().unwrap() > 1000);
    box_.run("plugin inspect -f {{.World}}/{{.State}} overlay").success().prints("storage/embedded\n");
    box_.run("plugin inspect labell")
        .fails(1)
        .says("no plugin is called `labell`")
        .says("did you mean `label`?");
}

#[test]
fn a_limit_that_is_none_is_told_with_its_line() {
    let box_ = Sandbox::new();
    for (limit, words) in [
        ("memory = \"64MB\"", "`64MB` is not a size"),
        ("memory = 0", "expected a number above 0"),
        ("fuel = -1", "expected a number above 0"),
        ("time = 5", "unknown key"),
    ] {
        box_.config(&format!("[plugin.run]\nlimits = {{ {limit} }}\n"));
        box_.run("plugin ls").fails(125).says("wharf.toml:2: plugin.run.limits.").says(words);
    }
}

#[test]
fn a_bundle_carries_plugins_to_a_machine_without_a_network() {
    let box_ = Sandbox::new();
    component(&box_, "label");
    component(&box_, "user");
    box_.run("plugin add label.wasm --name mark --as LABEL=MARK --grant-all").success();
    box_.run("plugin add user.wasm --name who --as USER=WHO")
        .success()
        .says("wharf plugin grant who ops:config");
    box_.run("plugin bundle mark who -o two.tar").success().shows("  mark\n").shows("  who\n");
    let bundle = fs::read(box_.dir().join("two.tar")).unwrap();
    box_.run("plugin bundle mark who -o again.tar").success();
    assert_eq!(bundle, fs::read(box_.dir().join("again.tar")).unwrap(), "the same plugins, the same file");
    box_.run("plugin bundle nobody -o no.tar").fails(1).says("nobody");
    assert!(!box_.dir().join("no.tar").exists());

    let other = box_.beside();
    other.write("two.tar", &bundle);
    let added = other.run("plugin add two.tar --grant-all").success().prints("mark\nwho\n");
    added.says("added mark").says("added who");
    fs::remove_file(other.dir().join("two.tar")).unwrap();
    other.write("Dockerfile", "FROM scratch\nMARK a=1\nWHO me\n");
    other.run("build -t m .").success();
    assert_eq!(other.inspect("m", "{{.Config.User}}"), "me");

    // Without the copy there is nothing to run, and the error says so.
    fs::remove_dir_all(other.root().join("plugins/code")).unwrap();
    other.run("build -t m .").fails(1).says("mark").says("is not on this machine").says("two.tar");
    let state = ["plugin", "ls", "--format", "{{.Name}} {{.State}}"];
    other.wharf(state).success().shows("mark missing\n");

    let mut changed = bundle.clone();
    let at = changed.windows(8).position(|bytes| bytes == b"\0asm\x0d\0\x01\0").unwrap();
    changed[at + 100] ^= 1;
    let third = box_.beside();
    third.write("two.tar", &changed);
    third.run("plugin add two.tar").fails(1).says("two.tar is not a bundle").says("is not in it");
    third.run("rmi m").fails(1);
    other.run("rmi m").success();
}

#[test]
fn the_contract_is_printed() {
    let box_ = Sandbox::empty();
    let all = box_.run("plugin wit").success().stdout;
    assert!(all.starts_with("package wharf:plugin@0.1"), "{}", all.lines().next().unwrap());
    assert_eq!(all.lines().filter(|line| line.starts_with("package ")).count(), 1);
    for world in ["instruction", "storage", "network", "hook"] {
        let one = box_.run(&format!("plugin wit --world {world}")).success().stdout;
        assert!(one.contains(&format!("\nworld {world}-plugin {{")) && one.len() < all.len(), "{world}");
        assert_eq!(one.lines().filter(|line| line.starts_with("world ")).count(), 1, "{world}");
    }
}

#[test]
fn the_users_own_file_is_where_plugins_go() {
    let box_ = Sandbox::new();
    component(&box_, "label");
    let home = box_.dir().parent().unwrap().join("home");
    let typed = |line: &str| {
        let mut command = box_.command(line.split(' '));
        let output = command.env_remove("WHARF_CONFIG").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    typed("plugin add label.wasm --name mark --as LABEL=MARK");
    let mine = home.join(".config/wharf/wharf.toml");
    assert!(fs::read_to_string(&mine).unwrap().contains("[plugin.mark]"));
    assert!(home.join(".config/wharf/wharf.lock").exists());
    assert!(typed("plugin ls -q").lines().any(|name| name == "mark"));
    typed("plugin remove mark");
    assert_eq!(fs::read_to_string(&mine).unwrap(), "");
    box_.run("plugin add --user label.wasm --name mark").fails(1).says("there is no user's config file here");
}

/// What the default plugins say of themselves is part of the program.
#[test]
fn what_there_is_is_known_without_compiling_anything() {
    let box_ = Sandbox::empty();
    box_.run("plugin ls").success().without("compiling");
    box_.write("Dockerfile", "FROM scratch\nRUN true\n");
    box_.run("dockerfile parse --json Dockerfile").success().without("compiling");
    box_.run("plugin inspect run").success().without("compiling");
    assert!(!box_.root().join("plugins").exists());
}
