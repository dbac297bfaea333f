//! Plugins as a user meets them: in a TOML file.

mod approve;
mod author;
mod disk;
mod grants;
mod include;
mod ipam;
mod languages;
mod lock;
mod packages;
mod registry;
mod unset;
mod update;
mod verbs;

use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Sandbox, host, program, repository};

fn digest(path: &std::path::Path) -> String {
    format!("sha256:{}", host(&["sha256sum", path.to_str().unwrap()]).split(' ').next().unwrap())
}

#[test]
fn the_storage_driver_is_chosen_in_the_config() {
    let other = Sandbox::new();
    other.run("save -o busybox.tar busybox").success();
    let box_ = other.beside();
    box_.config("[engine]\nstorage = \"storage-copy\"\n");
    box_.wharf(["load", "-i", other.dir().join("busybox.tar").to_str().unwrap()]).success();
    box_.run("info -f {{.Driver}}").success().prints("storage-copy\n");
    box_.build("c", "FROM busybox\nRUN echo one > /one && rm /etc/group\nCOPY Dockerfile /d\n");
    assert_eq!(
        box_.in_image("c", "cat /one; ls /etc; mount | grep -c ' / type overlay'; true"),
        "one\nhostname\nhosts\npasswd\nresolv.conf\n0\n"
    );
    box_.run("run -d --network none --name c c sleep 60").success();
    box_.run("exec c touch /written").success();
    box_.run("restart -t 0 c").success();
    box_.run("exec c ls /written").success();
    box_.run("rm -f c").success();
    box_.run("rmi c busybox").success();
}

/// The same Dockerfile gives the same image, whichever driver keeps the files.
#[test]
fn drivers_agree_about_what_a_layer_is() {
    let overlay = Sandbox::new();
    overlay.run("save -o busybox.tar busybox").success();
    let copy = overlay.beside();
    copy.config("[engine]\nstorage = \"storage-copy\"\n");
    copy.wharf(["load", "-i", overlay.dir().join("busybox.tar").to_str().unwrap()]).success();
    let ids = [&overlay, &copy].map(|box_| {
        box_.write("note", "1");
        box_.build("x", "FROM busybox\nRUN rm /etc/group && mkdir /d && echo x > /d/x && ln /d/x /d/y\nCOPY note /d/\nRUN rm -r /home && echo > /home\n");
        box_.inspect("x", "{{.Id}}")
    });
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_native_library_adds_an_instruction() {
    let library = native_example();
    let box_ = Sandbox::new();
    let config = |digest: &str, trust: &str| {
        format!(
            "[plugin.stamp]\nworld = \"instruction\"\nsource = \"file:{}\"\ndigest = \"{digest}\"\n{trust}\
             grants = {{ ops = [\"write\", \"config\"] }}\n",
            library.display()
        )
    };
    let native = "trust = \"native-full\"\n";
    box_.config(&config(&digest(&library), native));
    box_.build("s", "FROM busybox\nARG V=1.4\nSTAMP release $V\n");
    assert_eq!(box_.in_image("s", "cat /etc/stamp/release"), "1.4\n");
    assert!(box_.inspect("s", "{{json .Config.Labels}}").contains(r#""stamp.release":"1.4""#));
    box_.write("Dockerfile", "FROM busybox\nSTAMP\n");
    box_.refuses(
        1,
        &["build", "-t", "x", "."],
        &["Dockerfile:2", "STAMP requires a key", "STAMP release 1.4"],
    );

    box_.config(&config(&format!("sha256:{}", "0".repeat(64)), native));
    box_.refuses(1, &["build", "-t", "x", "."], &["stamp", &digest(&library), &"0".repeat(64)]);
    box_.config(&config(&digest(&library), ""));
    box_.refuses(1, &["build", "-t", "x", "."], &["stamp", "native-full"]);
    box_.config(&config(&digest(&library), native).replace("\"write\", ", ""));
    box_.write("Dockerfile", "FROM busybox\nSTAMP a b\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "stamp", "write"]);
}

/// Built once, where the program under test was built.
fn native_example() -> PathBuf {
    let target = program().ancestors().nth(2).unwrap().join("native-example");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--quiet", "-p", "wharf-stamp", "--target-dir"])
        .arg(&target);
    let output = command.current_dir(repository().join("plugins")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    target.join("release/libstamp.so")
}

#[test]
fn a_component_of_one_s_own_takes_the_place_of_a_default_one() {
    let box_ = Sandbox::new();
    let component = repository().join("plugins/prebuilt/label.wasm");
    box_.config(&format!(
        "[plugin.mine]\nworld = \"instruction\"\nsource = \"file:{}\"\ndigest = \"{}\"\nkeywords = {{ LABEL = \"MARK\" }}\n\
         grants = {{ ops = [\"config\"] }}\n",
        component.display(),
        digest(&component)
    ));
    box_.build("m", "FROM busybox\nMARK a=1\nLABEL b=2\n");
    assert_eq!(box_.inspect("m", "{{json .Config.Labels}}"), r#"{"a":"1","b":"2"}"#);
}

#[test]
fn two_plugins_with_one_keyword_are_both_named() {
    let box_ = Sandbox::new();
    let component = repository().join("plugins/prebuilt/label.wasm");
    box_.config(&format!(
        "[plugin.mine]\nworld = \"instruction\"\nsource = \"file:{}\"\n",
        component.display()
    ));
    box_.write("Dockerfile", "FROM busybox\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["LABEL", "mine", "label"]);
}

#[test]
fn a_file_that_is_no_component_is_named() {
    let box_ = Sandbox::new();
    let file = box_.write("not.wasm", "this is no component");
    box_.config(&format!("[plugin.broken]\nworld = \"instruction\"\nsource = \"file:{}\"\n", file.display()));
    box_.write("Dockerfile", "FROM busybox\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["broken", "not a component"]);
    box_.config("[plugin.broken]\nworld = \"instruction\"\nsource = \"file:/no/such/file.wasm\"\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["broken", "/no/such/file.wasm"]);
    box_.run("run --rm --network none busybox echo other things still work").success();
}

#[test]
fn a_component_with_another_digest_is_refused() {
    let box_ = Sandbox::new();
    let component = repository().join("plugins/prebuilt/label.wasm");
    let (wanted, there) = (format!("sha256:{}", "1".repeat(64)), digest(&component));
    box_.config(&format!(
        "[plugin.label]\nworld = \"instruction\"\nsource = \"file:{}\"\ndigest = \"{wanted}\"\n",
        component.display()
    ));
    box_.write("Dockerfile", "FROM busybox\nLABEL a=1\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["label", &wanted, &there]);
}

#[test]
fn a_driver_that_nobody_configured_is_named() {
    let box_ = Sandbox::new();
    box_.config("[engine]\nstorage = \"floppy\"\n");
    box_.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    box_.refuses(125, &["build", "-t", "x", "."], &["floppy", "overlay"]);
    box_.config("[engine]\nnetwork = \"pigeon\"\n");
    box_.refuses(125, &["run", "--rm", "busybox", "true"], &["pigeon"]);
    box_.config("[network.back]\ndriver = \"pigeon\"\n");
    box_.run("run --rm --network back busybox true").fails(125).says("back").says("pigeon");
    box_.run("ps -aq").success().prints("");
}

#[test]
fn a_wrong_config_is_told_with_file_line_and_key() {
    let box_ = Sandbox::new();
    box_.config("[engine]\nstorge = \"overlay\"\n");
    let output = box_.refuses(125, &["images"], &["wharf.toml:2", "engine.storge", "unknown key"]);
    assert!(output.stderr.contains("storage"), "what was probably meant\n{output}");
    box_.config("[plugin.run]\ngrants = { ops = [\"fly\"] }\n");
    box_.refuses(125, &["images"], &["wharf.toml:2", "plugin.run.grants.ops", "fly"]);
}

#[test]
fn a_plugin_that_lacks_a_grant_says_which_lines_would_grant_it() {
    let box_ = Sandbox::new();
    box_.config("[plugin.run]\ngrants = { ops = [] }\n");
    box_.write("Dockerfile", "FROM busybox\nRUN true\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "run", "exec", "[plugin.run]"]);
}

#[test]
fn a_network_of_one_s_own_has_its_own_addresses() {
    let box_ = Sandbox::new();
    box_.config("[network.back]\ndriver = \"bridge\"\nsubnet = \"10.77.0.0/24\"\ngateway = \"10.77.0.1\"\n");
    box_.run("run -d --network back --name b busybox sleep 60").success();
    let address = box_.inspect("b", "{{.NetworkSettings.IPAddress}}");
    assert!(address.starts_with("10.77.0."), "{address}");
    box_.run(&format!("run --rm --network back busybox ping -c 1 -W 2 {address}")).success();
    box_.run(&format!("run --rm busybox ping -c 1 -W 1 {address}")).fails(1);
}

#[test]
fn a_plugin_that_never_ends_is_stopped() {
    let box_ = Sandbox::new();
    box_.config("[plugin.copy]\nlimits = { fuel = 1000 }\n");
    box_.write("Dockerfile", "FROM busybox\nCOPY Dockerfile /\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "plugin `copy`", "ran out of fuel"]);
    box_.config("");
    box_.run("build -t x .").success();
}
