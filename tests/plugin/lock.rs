//! `wharf.lock`: a plugin is what it was when it was last looked at, or it is not used.

use std::fs;

use super::verbs::{component, config_of};
use crate::harness::Sandbox;

#[test]
fn a_plugin_that_is_not_what_the_lock_says_is_not_used() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    component(&box_, "label");
    component(&box_, "user");
    box_.run("plugin add label.wasm --name mark --as LABEL=MARK --grant-all").success();
    box_.write("Dockerfile", "FROM busybox\nMARK a=1\n");
    box_.run("build -t x .").success();
    let (toml, pins) = (fs::read_to_string(&config).unwrap(), fs::read_to_string(&lock).unwrap());

    let other = "sha256:".to_owned() + &"1".repeat(64);
    let pinned = super::digest(&box_.dir().join("label.wasm"));
    for (toml, pins, words) in [
        (
            toml.replace("ops = [\"config\"]", "ops = [\"config\", \"exec\"]"),
            pins.clone(),
            ["grants", "ops:exec"],
        ),
        (toml.replace(&pinned, &other), pins.clone(), ["digest", &other]),
        (toml.replace("label.wasm", "user.wasm"), pins.clone(), ["source", "user.wasm"]),
        (toml.clone(), pins.replace("\"MARK\"", "\"MARKED\""), ["keywords", "MARKED"]),
        (toml.clone(), pins.replace("\"instruction\"", "\"hook\""), ["world", "hook"]),
    ] {
        fs::write(&config, &toml).unwrap();
        fs::write(&lock, &pins).unwrap();
        let words = [&words[..], &["plugin `mark`", "wharf.toml:", "wharf.lock", "wharf plugin update mark"]]
            .concat();
        box_.refuses(1, &["build", "-t", "x", "."], &words);
        let state = ["plugin", "ls", "--format", "{{.Name}} {{.State}}"];
        box_.wharf(state).success().shows("mark changed\n");
        box_.run("run --rm --network none busybox echo others go on").success();
    }

    // Meant: the change is taken over.
    fs::write(&config, toml.replace("MARK\"", "TAG\"")).unwrap();
    fs::write(&lock, &pins).unwrap();
    box_.write("Dockerfile", "FROM busybox\nTAG a=1\n");
    box_.run("build -t x .").fails(1).says("keywords");
    box_.run("plugin update mark").success();
    box_.run("build -t x .").success();

    fs::write(&lock, "version = 7\n").unwrap();
    box_.run("images").fails(125).says("wharf.lock").says("version 7").says("wharf plugin lock");
    fs::remove_file(&lock).unwrap();
    box_.run("plugin lock").success().shows("wharf.lock: mark\n");
    assert!(fs::read_to_string(&lock).unwrap().contains("keywords = [\"TAG\"]"));
    box_.run("rmi x").success();
}

/// A lock alone pins the code of a plugin whose definition has no digest.
#[test]
fn a_lock_gives_the_digest() {
    let box_ = Sandbox::new();
    let file = component(&box_, "label");
    let keyword = "keywords = { LABEL = \"MARK\" }\ngrants = { ops = [\"config\"] }\n";
    box_.config(&format!(
        "[plugin.mark]\nworld = \"instruction\"\nsource = \"file:{}\"\n{keyword}",
        file.display()
    ));
    box_.run("plugin lock").success();
    box_.build("x", "FROM busybox\nMARK a=1\n");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend(b"\0\x05\x01xabc");
    fs::write(&file, &bytes).unwrap();
    box_.refuses(1, &["build", "-t", "x", "."], &["mark", &super::digest(&file), "wharf plugin update mark"]);
    box_.run("plugin update --all").success().says("updated mark");
    box_.run("build -t x .").success();
    box_.run("plugin update --all").success().says("up to date");
    box_.run("rmi x").success();
}
