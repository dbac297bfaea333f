//! `wharf plugin approve`: a project's `wharf.toml` is input; the user's own file is authority.

use std::fs;

use super::verbs::{component, config_of};
use crate::harness::Sandbox;

/// A cloned project that wants more than it has.
fn project(box_: &Sandbox, folder: &str) -> String {
    let code = fs::read(component(box_, "label")).unwrap();
    let file = box_.write(&format!("{folder}/tools/mark.wasm"), code);
    let toml = format!(
        "# theirs\n[plugin.run]\ngrants.ops = [\"exec\", \"exec-insecure\"]\n\n[plugin.mark]\nworld = \"instruction\"\n\
         source = \"file:./tools/mark.wasm\"\ndigest = \"{}\"\nkeywords = {{ LABEL = \"MARK\" }}\ngrants = {{ ops = [\"config\"] }}\n",
        super::digest(&file)
    );
    box_.write(&format!("{folder}/wharf.toml"), &toml);
    box_.write(&format!("{folder}/Dockerfile"), "FROM busybox\nRUN --security=insecure true\nMARK a=1\n");
    toml
}

#[test]
fn a_project_gets_what_was_approved_and_nothing_else() {
    let box_ = Sandbox::new();
    let (config, _) = config_of(&box_);
    box_.config("# mine\n");
    let toml = project(&box_, "p");
    project(&box_, "q");
    let refused = box_.run("build --allow security.insecure -t x p").fails(1);
    refused.says("plugin.run.grants.ops: not applied").says("wharf plugin approve p");

    let asked = box_.run("plugin approve p").fails(1).says("asks for").says("--yes").says("no terminal");
    let asked =
        asked.shows("plugin.run.grants.ops = [\"exec\", \"exec-insecure\"]\n").shows("# ops:exec-insecure: ");
    asked.shows("plugin.mark = { ").shows("# ops:config (granted): ");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");

    box_.run("plugin approve --yes p").success().says("approved for ");
    assert!(fs::read_to_string(&config).unwrap().starts_with("# mine\n\n[project.\""));
    box_.run("build --allow security.insecure -t x p").success();
    assert_eq!(box_.inspect("x", "{{json .Config.Labels}}"), r#"{"a":"1"}"#);
    box_.run("plugin approve p").success().says("asks for nothing");
    box_.run("plugin ls -q").success().without("mark");
    box_.run("build --allow security.insecure -t x q").fails(1).says("wharf plugin approve q");
    box_.run("plugin approve --list").success().shows("/p\n").shows("  plugin.run.grants.ops = ");

    // The code is pinned by its digest.
    let code = box_.dir().join("p/tools/mark.wasm");
    let before = fs::read(&code).unwrap();
    fs::write(&code, [&before[..], b"\0\x05\x01xabc"].concat()).unwrap();
    box_.run("build --allow security.insecure -t x p").fails(1).says("mark").says("the config wants");
    fs::write(&code, before).unwrap();

    // A changed file asks again.
    box_.write("p/wharf.toml", toml.replace("# theirs", "# theirs, changed"));
    box_.run("build --allow security.insecure -t x p").fails(1).says("not applied");
    box_.run("plugin approve --list").success().shows("its wharf.toml has changed since");
    box_.write("p/wharf.toml", &toml);
    box_.run("build --allow security.insecure -t x p").success();

    box_.run("plugin approve --revoke p").success().says("taken back");
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
    box_.run("build --allow security.insecure -t x p").fails(1).says("not applied");
    box_.run("plugin approve --revoke p").fails(1).says("nothing is approved for");
    box_.run("rmi x").success();
}

#[test]
fn a_person_is_asked_on_a_terminal() {
    let box_ = Sandbox::new();
    let (config, _) = config_of(&box_);
    project(&box_, "p");
    let mut terminal = box_.terminal("plugin approve p");
    terminal.expect("Approve these lines? [y/N]");
    terminal.line("");
    assert_eq!(terminal.wait(), 1);
    assert!(!fs::read_to_string(&config).unwrap().contains("project"));
    let mut terminal = box_.terminal("plugin approve p");
    terminal.expect("Approve these lines? [y/N]");
    terminal.line("y");
    assert_eq!(terminal.wait(), 0);
    box_.run("build --allow security.insecure -t x p").success();
    box_.run("rmi x").success();
}

#[test]
fn what_can_not_be_approved_says_why() {
    let box_ = Sandbox::new();
    let (config, _) = config_of(&box_);
    let toml = project(&box_, "p");
    box_.run("plugin approve .").fails(1).says("has no wharf.toml");
    let unpinned: Vec<&str> = toml.lines().filter(|line| !line.starts_with("digest")).collect();
    box_.write("p/wharf.toml", unpinned.join("\n"));
    let said = box_.run("plugin approve --yes p").fails(1).says("the plugin `mark` has no `digest`");
    said.says("digest = \"sha256:");
    box_.write(
        "p/wharf.toml",
        format!("[project.\"{}\"]\ndigest = \"x\"\napproved = []\n", box_.dir().display()),
    );
    box_.run("plugin approve --yes p").fails(125).says("is not a digest");
    let own = format!("sha256:{}", "0".repeat(64));
    box_.write("p/wharf.toml", format!("[project.\"/p\"]\ndigest = \"{own}\"\napproved = []\n"));
    box_.run("plugin approve --yes p").fails(125).says("a project can not approve of itself");
    // A site's required plugin is out of reach.
    box_.config("[plugin.guard]\nrequired = true\n");
    box_.write("p/wharf.toml", "[plugin.guard]\nrequired = false\n");
    box_.run("plugin approve --yes p").fails(1).says("is required by");
    assert_eq!(fs::read_to_string(&config).unwrap(), "[plugin.guard]\nrequired = true\n");
    box_.run("plugin ls").success();
}
