//! Images from machine to machine over ssh, without a registry.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::platforms::{OTHER, OWN, fill_index};
use super::trust::{Key, SIGN, bundle};
use crate::harness::{Registry, Sandbox, Ssh, eventually, host};

/// A machine with `app:v1`, another without images, and the way from the first to the second.
fn pair() -> Option<(Sandbox, Sandbox, Ssh)> {
    let here = Sandbox::new();
    let there = here.beside();
    let ssh = Ssh::to(&there)?;
    here.set("WHARF_SSH", &ssh.client());
    here.build("app:v1", "FROM busybox\nRUN echo one > /one\nCMD [\"cat\", \"/one\"]\n");
    Some((here, there, ssh))
}

#[test]
fn an_image_goes_to_another_machine_and_runs_there() {
    let Some((here, there, ssh)) = pair() else { return };
    let pushed = here.run(&format!("push {}", ssh.name("app:v1"))).success();
    pushed.shows("Sent app:v1 to 127.0.0.1").says("Loaded image: app:v1");
    assert_eq!(there.inspect("app:v1", "{{.Id}}"), here.inspect("app:v1", "{{.Id}}"));
    assert_eq!(there.inspect("app:v1", "{{.RepoDigests}}"), "[]", "no registry has it");
    there.run("run --rm --network none app:v1").success().prints("one\n");
    let quiet = here.run(&format!("push -q {}", ssh.name("app:v1"))).success();
    quiet.clone().prints("docker.io/library/app:v1\n");
    assert_eq!(quiet.stderr, "", "the other machine is quiet, too");
}

#[test]
fn layers_that_are_there_do_not_travel() {
    let Some((here, there, ssh)) = pair() else { return };
    here.run(&format!("push {}", ssh.name("app:v1"))).success().says("Pull complete");
    here.build("app:v2", "FROM app:v1\nRUN echo two > /two\n");
    let pushed = here.run(&format!("push {}", ssh.name("app:v2"))).success();
    assert_eq!(pushed.stderr.matches("Already exists").count(), 2, "{pushed}");
    assert_eq!(pushed.stderr.matches("Pull complete").count(), 1, "{pushed}");
    there.run("run --rm --network none app:v2 cat /one /two").success().prints("one\ntwo\n");
}

#[test]
fn what_comes_from_another_machine_is_judged_as_what_is_pulled() {
    let Some((there, here, _)) = pair() else { return };
    let Some(ssh) = Ssh::to(&there) else { return };
    here.set("WHARF_SSH", &ssh.client());
    let key = Key::p256();
    let site = here.dir().join("site");
    std::fs::create_dir(&site).unwrap();
    here.config(&format!(
        "[engine]\nsignatures = \"{}\"\n[plugin.image-trust]\nenabled = true\n\
         [[plugin.image-trust.settings.rule]]\nprefix = \"docker.io/library/app\"\nkeys = [\'\'\'{}\'\'\']\n",
        site.display(),
        key.public()
    ));
    let load = format!("load {}", ssh.name("app:v1"));
    let refused = here.run(&load).fails(1).says("denied by hook `image-trust`").says("is not signed").stderr;
    here.run("images -q").success().prints("");
    let (_, digest) = refused.split_once("no signature of ").unwrap();
    let digest = &digest[..71];
    std::fs::write(site.join(format!("sha256-{}.json", &digest[7..])), bundle(&key, SIGN, digest)).unwrap();
    here.run(&load).success().shows("Loaded image: app:v1");

    // Who is sent an image judges it, too.
    here.run("rmi app:v1").success();
    std::fs::remove_dir_all(&site).unwrap();
    std::fs::create_dir(&site).unwrap();
    let Some(back) = Ssh::to(&here) else { return };
    there.set("WHARF_SSH", &back.client());
    there.run(&format!("push {}", back.name("app:v1"))).fails(1).says("is not signed");
    here.run("images -q").success().prints("");
}

#[test]
fn an_image_comes_from_another_machine() {
    let Some((there, here, _)) = pair() else { return };
    let Some(ssh) = Ssh::to(&there) else { return };
    here.set("WHARF_SSH", &ssh.client());
    let loaded = here.run(&format!("load {}", ssh.name("app:v1"))).success();
    loaded.shows("Loaded image: app:v1").says("Pull complete");
    here.run("run --rm --network none app:v1").success().prints("one\n");
    here.run(&format!("load {}", ssh.name("app:v1"))).success().says("Already exists").without("complete");
}

#[test]
fn what_is_in_the_way_is_named() {
    let Some((here, there, ssh)) = pair() else { return };
    there.run("images").success();
    let (app, none) = (ssh.name("app:v1"), ssh.name("none:v9"));
    here.refuses(1, &["push", &none], &["no such image: none:v9"]);
    here.refuses(1, &["load", &none], &["127.0.0.1", "none:v9", "hint:", "wharf images"]);
    here.refuses(1, &["push", "--platform", "linux/s390x", &app], &["linux/s390x"]);
    here.refuses(1, &["push", "-a", &app], &["--all-tags"]);
    for verb in ["push", "load"] {
        here.refuses(
            1,
            &[verb, "ssh://root@127.0.0.1:1/app:v1"],
            &["127.0.0.1 did not", "refused", "hint", "ssh"],
        );
        // What ssh would take for an option never reaches it.
        let hostile = format!("ssh://-oProxyCommand=touch%20{}/app:v1", here.dir().join("owned").display());
        here.refuses(1, &[verb, &hostile], &["is not ssh://[USER@]HOST[:PORT]/NAME"]);
        here.refuses(1, &[verb, "ssh://-oProxyCommand=touch/app:v1"], &["is not ssh://"]);
        here.refuses(1, &[verb, "http://h/app:v1"], &["is not ssh://"]);
        here.refuses(1, &[verb, "ssh://h/UPPER"], &["lowercase"]);
    }
    assert!(!here.dir().join("owned").exists());
    here.set("WHARF_REMOTE", "no-such-wharf");
    for verb in ["push", "load"] {
        here.refuses(
            1,
            &[verb, &app],
            &["no-such-wharf", "127.0.0.1 did not", "install wharf on 127.0.0.1", "WHARF_REMOTE"],
        );
    }
    here.set("WHARF_SSH", "/no/such/ssh");
    here.refuses(1, &["push", &app], &["cannot start /no/such/ssh", "hint", "WHARF_SSH"]);
    there.run("images -q").success().prints("");
}

#[test]
fn all_images_of_an_index_go() {
    let Some(registry) = Registry::start() else { return };
    let builder = Sandbox::new();
    let name = fill_index(&registry, &builder);
    let (here, there) = (builder.beside(), builder.beside());
    let Some(ssh) = Ssh::to(&there) else { return };
    here.set("WHARF_SSH", &ssh.client());
    here.run(&format!("pull -q --all-platforms {name}")).success();
    let pushed = here.run(&format!("push {}", ssh.name(&name))).success();
    assert_eq!(pushed.stderr.matches("Loaded image").count(), 2, "{pushed}");
    there.run("images --tree").success().shows(OTHER).shows(OWN);
    there.run(&format!("run --rm --network none {name}")).success().prints(&format!("{OWN}\n"));

    // The index goes on from there as it is, to a registry that has none of it.
    let Some(second) = Registry::start() else { return };
    let (from, to) = (registry.address(), second.address());
    there.config(&format!("[registry.\"{from}\"]\nlocation = \"{to}\"\n"));
    let pushed = there.run(&format!("push {name}")).success();
    let digest = here.inspect(&name, "{{index .RepoDigests 0}}");
    let digest = digest.split('@').nth(1).unwrap();
    assert!(pushed.line_with("digest:").contains(digest), "{pushed}\nis not {digest}");
    there.config("");

    let Some(back) = Ssh::to(&there) else { return };
    let third = here.beside();
    third.set("WHARF_SSH", &back.client());
    third.run(&format!("load --platform {OTHER} {}", back.name(&name))).success();
    assert_eq!(third.inspect(&name, "{{.Os}}/{{.Architecture}}"), OTHER);
    third.run(&format!("load {}", back.name(&name))).success();
    third.run("images --tree").success().shows(OTHER).shows(OWN);
}

fn bytes_below(path: &Path) -> u64 {
    // What comes and goes meanwhile is no reason to fail.
    let counted = Command::new("du").args(["-s", "-B1"]).arg(path).output().unwrap();
    let text = String::from_utf8(counted.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_push_that_is_interrupted_leaves_nothing_behind() {
    let Some((here, there, ssh)) = pair() else { return };
    here.build("big", "FROM busybox\nRUN head -c 60000000 /dev/urandom > /big\n");
    // What is there once and for all is there before.
    here.run(&format!("push {}", ssh.name("app:v1"))).success();
    there.run("rmi app:v1").success();
    there.run("image prune -f").success();
    let empty = bytes_below(there.root());
    let before = (here.traces(), there.traces());
    for signal in ["INT", "KILL"] {
        let mut command = here.command(["push", &ssh.name("big")]);
        let mut push = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually("some of it came", || bytes_below(there.root()) > empty + 1_000_000);
        host(&["kill", &format!("-{signal}"), "--", &format!("-{}", push.id())]);
        push.wait().unwrap();
        here.left_nothing_since(&before.0);
        let claims = || std::fs::read_dir(there.root().join("claims")).unwrap().count();
        eventually("the other side gave up", || claims() == 0);
        there.run("images -q").success().prints("");
        there.run("image prune -f").success();
        there.left_nothing_since(&before.1);
    }
    here.run(&format!("push {}", ssh.name("big"))).success();
}
