//! What a plugin may do: requested by its manifest, granted in the TOML, effective when both say so.

use std::fs;

use super::digest;
use super::verbs::{component, config_of};
use crate::harness::Sandbox;

#[test]
fn a_missing_grant_is_told_and_given() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    component(&box_, "label");
    let added = box_.run("plugin add label.wasm --name mark --as LABEL=MARK").success();
    added.says("not granted    ops:config").says("wharf plugin grant mark ops:config");
    box_.write("Dockerfile", "FROM busybox\nMARK a=1\n");
    box_.refuses(
        1,
        &["build", "-t", "x", "."],
        &[
            "Dockerfile:2",
            "ops:config",
            "[plugin.mark]",
            "grants.ops = [\"config\"]",
            "wharf plugin grant mark ops:config",
        ],
    );

    let before = fs::read_to_string(&config).unwrap();
    box_.run("plugin grant mark")
        .success()
        .shows("ops:config")
        .shows("not granted")
        .says("wharf plugin grant mark");
    let lines = "[plugin.mark]\ngrants.ops = [\"config\"]\n";
    box_.run("plugin grant mark ops:config --dry-run").success().prints(lines).says("would be written to");
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    box_.run("plugin grant mark ops:config").success().prints(lines).says("written to");
    box_.run("plugin grant mark ops:config").success().prints("").says("nothing to change");
    assert!(fs::read_to_string(&lock).unwrap().contains("grants = [\"ops:config\"]"));
    box_.run("build -t x .").success();

    box_.run("plugin grant mark --revoke ops:config").success().prints("[plugin.mark]\ngrants.ops = []\n");
    box_.run("build -t x .").fails(1).says("ops:config");
    box_.run("plugin grant mark --all").success().prints(lines);
    box_.run("plugin grant mark ops:exec").fails(1).says("does not request `ops:exec`").says("ops:config");
    box_.run("plugin grant nobody ops:exec").fails(1).says("no plugin is called `nobody`");
    box_.run("rmi x").success();
}

#[test]
fn a_default_plugin_is_granted_more_in_the_users_file() {
    let box_ = Sandbox::new();
    let (config, lock) = config_of(&box_);
    box_.write("Dockerfile", "FROM busybox\nRUN --security=insecure true\n");
    let build = "build --allow security.insecure -t x .";
    box_.run(build).fails(1).says("ops:exec-insecure").says("wharf plugin grant run ops:exec-insecure");
    box_.run("plugin grant run ops:exec-insecure").success();
    let toml = "[plugin.run]\ngrants.ops = [\"exec\", \"exec-device\", \"exec-insecure\", \"image\", \"mount-bind\", \"mount-cache\", \"mount-secret\"]\n";
    assert_eq!(fs::read_to_string(&config).unwrap(), toml);
    assert!(!lock.exists(), "what is part of the program needs no lock");
    box_.run("build -t x .").fails(1).says("security.insecure is not allowed");
    box_.run(build).success();
    box_.run("rmi x").success();
}

/// A grant is half of it; the other half is the plugin's own request.
#[test]
fn what_is_granted_and_not_requested_has_no_effect() {
    let box_ = Sandbox::new();
    let file = component(&box_, "label");
    box_.config(&format!(
        "[plugin.mark]\nworld = \"instruction\"\nsource = \"file:{}\"\ndigest = \"{}\"\nkeywords = {{ LABEL = \"MARK\" }}\n\
         grants = {{ ops = [\"config\", \"exec\"], net = [\"host\"] }}\n",
        file.display(),
        digest(&file)
    ));
    let shown = box_.run("plugin inspect mark").success();
    assert!(shown.line_with("ops:exec").contains("granted but not requested"), "{shown}");
    assert!(shown.line_with("net:host").contains("granted but not requested"), "{shown}");
    let list = ["plugin", "ls", "--format", "{{.Name}}: {{.Grants}}"];
    box_.wharf(list).success().shows("mark: all (+2 not requested)\n");
    let explained = {
        box_.write("Dockerfile", "FROM busybox\nMARK a=1\n");
        box_.run("build --explain -t x .").success()
    };
    assert!(explained.stdout.contains("grants: config\n"), "{explained}");
    box_.run("rmi x").success();
}
