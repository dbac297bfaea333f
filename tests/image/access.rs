//! Who may ask a registry: tokens of another server's, and certificates of clients.

use std::time::Duration;

use crate::harness::{Asked, Proxy, Registry, Sandbox, Tokens, eventually, has, host};

fn empty(other: &Sandbox) -> Sandbox {
    let box_ = other.beside();
    box_.set("WHARF_PULL", "missing");
    box_
}

fn log_in(box_: &Sandbox, address: &str) {
    let login = ["login", "-u", "sailor", "--password-stdin", address];
    box_.wharf_with(login, b"ahoy\n").success().prints("Login Succeeded\n");
}

#[test]
fn tokens_open_a_registry_to_who_may() {
    let Some((tokens, _registry)) = Tokens::start() else { return };
    let box_ = Sandbox::new();
    let (address, name) = (tokens.address(), tokens.name("team/app:v1"));
    box_.run(&format!("tag busybox {name}")).success();
    box_.refuses(1, &["push", &name], &["access to", "denied", &format!("wharf login {address}")]);
    let asked = tokens.asked();
    assert!(asked.contains(&"nobody: repository:team/app:pull,push".to_owned()), "{asked:?}");
    let wrong = ["login", "-u", "sailor", "--password-stdin", &address];
    box_.wharf_with(wrong, b"wrong\n").fails(1).says("does not take this login").says("no such sailor");
    log_in(&box_, &address);
    box_.run(&format!("push {name}")).success();
    let asked = tokens.asked();
    assert_eq!(asked.last().unwrap(), "sailor:ahoy: repository:team/app:pull,push", "{asked:?}");
    assert_eq!(asked.iter().filter(|line| line.contains("team/app")).count(), 1, "one token for one push");

    // A blob is mounted from another repository only with a token for both.
    let public = tokens.name("public/app:v1");
    box_.run(&format!("tag busybox {public}")).success();
    box_.run(&format!("push {public}")).success().says("Mounted from team/app");
    let asked = tokens.asked();
    let both = "sailor:ahoy: repository:public/app:pull,push repository:team/app:pull";
    assert!(asked.contains(&both.to_owned()), "{asked:?}");

    let other = empty(&box_);
    other.run(&format!("pull {name}")).fails(1).says("denied");
    other.run(&format!("run --rm --network none {public} echo hello")).success().prints("hello\n");
    assert!(tokens.asked().contains(&"nobody: repository:public/app:pull".to_owned()));
    log_in(&other, &address);
    other.run(&format!("pull -q {name}")).success();
    assert_eq!(other.inspect(&name, "{{.Id}}"), box_.inspect("busybox", "{{.Id}}"));

    // Another client finds the same registry.
    if has("skopeo") {
        let image = format!("docker://{name}");
        let told = host(&["skopeo", "inspect", "--tls-verify=false", "--creds", "sailor:ahoy", &image]);
        assert!(told.contains("\"Layers\""), "{told}");
    } else {
        eprintln!("skipped in part: skopeo is not installed");
    }
}

#[test]
fn a_token_that_is_over_in_the_middle_of_a_pull_is_replaced() {
    let Some((tokens, registry)) = Tokens::start() else { return };
    let box_ = Sandbox::new();
    // More layers than come at once, with bytes that can not be packed.
    let mut text = "FROM busybox\n".to_owned();
    for layer in 0..7_u32 {
        let mut state = layer + 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let noise: Vec<u8> = (0..500_000).map(|_| next()).collect();
        box_.write(&format!("layer{layer}"), noise);
        text += &format!("COPY layer{layer} /\n");
    }
    let name = tokens.name("team/app:v1");
    box_.build(&name, &text);
    log_in(&box_, &tokens.address());
    box_.run(&format!("push -q {name}")).success();

    let proxy = Proxy::to(registry.port());
    tokens.lead_to(proxy.port());
    tokens.last_for(Duration::from_secs(2));
    let other = empty(&box_);
    log_in(&other, &tokens.address());
    tokens.asked();
    proxy.hold_after(600_000);
    let mut pull = other.command(["pull", "-q", &name]).spawn().unwrap();
    eventually("it waits in the middle of a layer", || proxy.passed() > 500_000);
    // Now its token is over.
    std::thread::sleep(Duration::from_secs(4));
    proxy.heal();
    assert!(pull.wait().unwrap().success());
    assert_eq!(other.inspect(&name, "{{.Id}}"), box_.inspect(&name, "{{.Id}}"));
    let asked = tokens.asked();
    assert!(asked.len() >= 2, "{asked:?}");
    assert!(asked.iter().all(|line| line == "sailor:ahoy: repository:team/app:pull"), "{asked:?}");
    assert!(asked.len() < 8, "each token is used as long as it counts: {asked:?}");
}

#[test]
fn a_registry_that_wants_a_certificate_gets_the_one_for_it() {
    let wanted = Asked { tls: true, certificate: true, ..Asked::default() };
    let Some(registry) = Registry::start_as(wanted) else { return };
    let box_ = Sandbox::new();
    let name = registry.name("app:v1");
    box_.run(&format!("tag busybox {name}")).success();
    let certificates = box_.home().join(".config/wharf/certs.d").join(registry.address());
    std::fs::create_dir_all(&certificates).unwrap();
    let put = |from: &std::path::Path, to: &str| std::fs::copy(from, certificates.join(to)).unwrap();
    put(&registry.authority(), "ca.crt");
    box_.refuses(1, &["push", &name], &["certificate"]);
    let (certificate, key) = registry.client_certificate();
    put(&certificate, "client.cert");
    box_.refuses(1, &["push", &name], &["client.key"]);
    put(&key, "client.key");
    box_.run(&format!("push {name}")).success();
    let other = empty(&box_);
    other.run(&format!("pull {name}")).fails(1).says("certificate");
    let theirs = other.home().join(".config/wharf/certs.d");
    std::fs::create_dir_all(&theirs).unwrap();
    host(&["cp", "-r", certificates.to_str().unwrap(), theirs.to_str().unwrap()]);
    other.run(&format!("pull {name}")).success();
    // One of another authority's is no better than none.
    let Some(stranger) = Registry::start_as(wanted) else { return };
    let (certificate, key) = stranger.client_certificate();
    put(&certificate, "client.cert");
    put(&key, "client.key");
    box_.refuses(1, &["push", &name], &["certificate"]);
}
