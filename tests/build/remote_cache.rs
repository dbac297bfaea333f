//! --cache-to and --cache-from with a registry: what one machine built, another one need not build, nor
//! fetch as long as nobody looks at it.

use super::share::two;
use crate::harness::{Asked, Proxy, Registry, Sandbox};

/// Two megabytes that nobody can compress, in a stage of which little is copied.
const BIG: &str = "FROM busybox AS tools\nRUN head -c 2000000 /dev/urandom > /big\n\
    RUN cat /proc/sys/kernel/random/uuid > /tool\n\
    FROM busybox\nCOPY note /note\nCOPY --from=tools /tool /tool\nRUN cat /proc/sys/kernel/random/uuid > /when\n\
    RUN true\nCMD [\"cat\", \"/tool\", \"/when\"]\n";
const BYTES: u64 = 2_000_000;

fn machines() -> (Sandbox, Sandbox) {
    let (one, other) = two();
    for box_ in [&one, &other] {
        box_.write("ctx/Dockerfile", BIG);
    }
    (one, other)
}

fn cached(box_: &Sandbox, options: &str) -> usize {
    let built = box_.run(&format!("build -t app {options} ctx")).success();
    built.without("cannot use the cache").stderr.matches("CACHED").count()
}

fn id(box_: &Sandbox) -> String {
    box_.inspect("app", "{{.Id}}")
}

#[test]
fn another_machine_fetches_only_the_layers_of_the_image() {
    let Some(registry) = Registry::start() else { return };
    let proxy = Proxy::to(registry.port());
    let (one, other) = machines();
    let cache = format!("type=registry,ref={},mode=max", proxy.name("team/cache:app"));
    one.run(&format!("build -t app --cache-to {cache} ctx"))
        .success()
        .says("exporting cache to")
        .without("CACHED");
    let from = format!("--cache-from type=registry,ref={}", proxy.name("team/cache:app"));
    let before = proxy.passed();
    assert_eq!(cached(&other, &from), 6);
    let came = proxy.passed() - before;
    assert!(came < BYTES / 4, "{came} bytes came, and none of them is of the first stage");
    assert_eq!(id(&one), id(&other));
    let words = one.run("run --rm --network none app").success().stdout;
    other.run("run --rm --network none app").success().prints(&words);
    // A step that is not known reads from the first stage: now its layers come.
    other.write("ctx/Dockerfile", format!("{BIG}COPY --from=tools /big /big\n"));
    assert_eq!(cached(&other, &from), 6);
    assert!(proxy.passed() - before > BYTES);
    assert_eq!(other.in_image("app", "wc -c < /big"), "2000000\n");
    // They are in the cache of this machine, too.
    assert_eq!(cached(&other, ""), 7);
}

/// One machine's cache was read once; what it knew is known from then on, though its layers did not come.
#[test]
fn what_a_cache_knew_is_known_without_it_afterwards() {
    let Some(registry) = Registry::start() else { return };
    let (one, other) = machines();
    let name = registry.name("cache");
    one.run(&format!("build -t app --cache-to type=registry,ref={name},mode=max ctx")).success();
    assert_eq!(cached(&other, &format!("--cache-from type=registry,ref={name}")), 6);
    drop(registry);
    assert_eq!(cached(&other, ""), 6);
    assert_eq!(id(&one), id(&other));
    // What it can say to others are the steps; the layers of the first stage are not here.
    other.run("build --cache-to type=local,dest=kept,mode=max ctx").success().without("beginning anew");
    // Now somebody wants the files of the first stage: they are made here, and known like all others.
    other.write("ctx/Dockerfile", format!("{BIG}COPY --from=tools /big /big\n"));
    other.run("build -t app ctx").success().says("beginning anew").without("cannot use");
    assert_eq!(other.in_image("app", "wc -c < /big"), "2000000\n");
    let tool = other.in_image("app", "cat /tool");
    assert_eq!(cached(&other, ""), 7);
    assert_eq!(other.in_image("app", "cat /tool"), tool);
}

#[test]
fn the_layers_of_a_cache_are_sent_once() {
    let Some(registry) = Registry::start() else { return };
    let (one, other) = machines();
    let name = |tag: &str| registry.name(&format!("team/{tag}"));
    let to = |tag: &str| format!("--cache-to type=registry,ref={},mode=max", name(tag));
    one.run(&format!("build -t app {} ctx", to("cache:1"))).success();
    let held = registry.bytes();
    one.run(&format!("build -t app {} ctx", to("cache:2"))).success();
    // The other one sends what it never had: it is there already, and mounted in another repository.
    let from = format!("--cache-from type=registry,ref={}", name("cache:1"));
    for tag in ["cache:3", "elsewhere:1"] {
        assert_eq!(cached(&other, &format!("{from} {}", to(tag))), 6);
    }
    let grown = registry.bytes() - held;
    assert!(grown < 100_000, "{grown} bytes more");
    let third = one.beside();
    third.wharf(["load", "-i", one.dir().join("base.tar").to_str().unwrap()]).success();
    third.write("ctx/note", "1");
    third.write("ctx/Dockerfile", format!("{BIG}COPY --from=tools /big /big\n"));
    assert_eq!(cached(&third, &format!("--cache-from type=registry,ref={}", name("elsewhere:1"))), 6);
    assert_eq!(third.in_image("app", "wc -c < /big"), "2000000\n");
}

#[test]
fn a_small_cache_knows_all_steps_and_builds_again_what_it_does_not_hold() {
    let Some(registry) = Registry::start() else { return };
    let (one, other) = machines();
    let name = registry.name("cache");
    one.run(&format!("build -t app --cache-to {name} ctx")).success();
    assert!(registry.bytes() < BYTES, "the first stage is not there");
    let from = format!("--cache-from type=registry,ref={name}");
    assert_eq!(cached(&other, &from), 6);
    assert_eq!(id(&one), id(&other));
    other.write("ctx/Dockerfile", format!("{BIG}COPY --from=tools /big /big\n"));
    let built = other.run(&format!("build -t app {from} ctx")).success();
    built.says("beginning anew").without("cannot use");
    assert_eq!(other.in_image("app", "wc -c < /big"), "2000000\n");
}

#[test]
fn an_image_in_a_registry_is_a_cache_that_is_not_pulled() {
    let Some(registry) = Registry::start() else { return };
    let (one, other) = machines();
    let name = registry.name("team/app:v1");
    one.run("build -t app --cache-to type=inline ctx").success();
    one.run(&format!("tag app {name}")).success();
    one.run(&format!("push {name}")).success();
    other.set("WHARF_PULL", "missing");
    assert_eq!(cached(&other, &format!("--cache-from {name}")), 6);
    let words = one.run("run --rm --network none app").success().stdout;
    other.run("run --rm --network none app").success().prints(&words);
    other.run(&format!("inspect {name}")).fails(1);
    other.run("build -t plain .").fails(1);
    one.run(&format!("tag busybox {}", registry.name("plain"))).success();
    one.run(&format!("push {}", registry.name("plain"))).success();
    let plain = format!("build --cache-from {} ctx", registry.name("plain"));
    other.run(&plain).success().says("not built with an inline cache");
}

#[test]
fn a_cache_that_is_missing_or_damaged_costs_time_and_nothing_else() {
    let Some(registry) = Registry::start_as(Asked { password: true, ..Asked::default() }) else { return };
    let (one, other) = machines();
    let to = format!("type=registry,ref={},mode=max", registry.name("cache"));
    one.run(&format!("build --cache-to {to} ctx"))
        .fails(1)
        .says("cannot send the build cache")
        .says("wharf login");
    one.run(&format!("build --cache-to {to},ignore-error=true ctx"))
        .success()
        .says("cannot send the build cache");
    for box_ in [&one, &other] {
        let login = ["login", "-u", "sailor", "--password", "ahoy", &registry.address()];
        box_.wharf(login).success();
    }
    let from = format!("--cache-from type=registry,ref={}", registry.name("cache"));
    let missing = other.run(&format!("build -t app {from} ctx")).success();
    missing
        .says(&format!("cannot use the cache `{}:latest`", registry.name("cache")))
        .says("unknown")
        .without("CACHED");
    other.run("rmi app").success();
    other.run("builder prune -f -a").success();

    one.run(&format!("build -t app --cache-to {to} ctx")).success();
    registry.damage_layers();
    let built = other.run(&format!("build -t app {from} ctx")).success();
    built.says("cannot use the cache").says("digest").says("beginning anew");
    assert_ne!(id(&one), id(&other), "it was built here");
    assert_eq!(other.run("run --rm --network none app").success().stdout.lines().count(), 2);
    other.run("run --rm --network none busybox true").success();
}
