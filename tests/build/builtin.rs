//! Build arguments that BuildKit reads itself, and the frontend that a Dockerfile names.

use serde_json::Value;

use crate::harness::Sandbox;

#[test]
fn arguments_of_buildkit_do_what_they_do_there() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox\nARG BUILDKIT_SANDBOX_HOSTNAME\nRUN echo $(hostname) $BUILDKIT_SANDBOX_HOSTNAME\n",
    );
    let named = "build --build-arg BUILDKIT_SANDBOX_HOSTNAME=builder";
    box_.run(&format!("{named} .")).success().says("builder builder").without("not consumed");
    box_.run("build .").success().says("buildkitsandbox");
    box_.run(&format!("{named}/x .")).fails(1).says("`builder/x` is no name of a host");
    box_.write("Dockerfile", "FROM busybox\nRUN hostname\n");
    box_.run("build .").success().says("buildkitsandbox");
    box_.run(&format!("{named} .")).success().says("builder").without("CACHED");
    let others = "--build-arg BUILDKIT_MULTI_PLATFORM=1 --build-arg BUILDKIT_BUILD_NAME=x";
    box_.run(&format!("build {others} .")).success().says("CACHED").without("not consumed");
}

#[test]
fn an_inline_cache_can_be_asked_for_by_an_argument() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo x > /x\n");
    let cache = |image: &str| {
        let archive = box_.dir().join("image.tar");
        box_.run(&format!("save -o {} {image}", archive.display())).success();
        String::from_utf8_lossy(&std::fs::read(archive).unwrap()).contains("wharf.cache.v1")
    };
    box_.run("build -t with --build-arg BUILDKIT_INLINE_CACHE=1 .").success().without("not consumed");
    box_.run("build -t without --build-arg BUILDKIT_INLINE_CACHE=0 .").success();
    assert!(cache("with") && !cache("without"));
}

#[test]
fn caches_of_programs_can_be_kept_apart() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN --mount=type=cache,target=/c ls /c; touch /c/left\n");
    let build = |extra: &str| box_.run(&format!("build --no-cache {extra} .")).success();
    build("");
    build("").says("left");
    build("--build-arg BUILDKIT_CACHE_MOUNT_NS=mine").without(" left");
    build("--build-arg BUILDKIT_CACHE_MOUNT_NS=mine").says("left");
}

#[test]
fn checks_can_be_given_for_one_build() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "# check=error=true\nFROM busybox\nENV A b\n");
    box_.run("build .").fails(1).says("lint violation");
    box_.run("build --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all .")
        .success()
        .without("LegacyKeyValueFormat");
    box_.write("Dockerfile", "FROM busybox\nENV A b\n");
    box_.run("build --build-arg BUILDKIT_DOCKERFILE_CHECK=error=true .").fails(1).says("lint violation");
    box_.run("build --check --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=all .").success();
}

#[test]
fn the_frontend_that_is_named_is_noted() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "# syntax=docker/dockerfile:1.7 // why\nFROM busybox\nENV A=1\n");
    box_.run("build --explain .").success().shows("syntax: docker/dockerfile:1.7\n");
    let plan = |box_: &Sandbox| box_.run("dockerfile plan --json Dockerfile").success().json();
    assert_eq!(plan(&box_)["syntax"], "docker/dockerfile:1.7");
    let given = "build --explain --build-arg BUILDKIT_SYNTAX=own/language:2 .";
    box_.run(given)
        .success()
        .shows("syntax: own/language:2\n")
        .says("the frontend own/language:2 is not used");
    let ours = "build --build-arg BUILDKIT_SYNTAX=dockerfile.v0 .";
    box_.write("Dockerfile", "# syntax=own/language:2\nFROM busybox\n");
    box_.run(ours).success().without("is not used");
    box_.write("Dockerfile", "FROM busybox\n");
    assert_eq!(plan(&box_)["syntax"], Value::Null);
    box_.run("build --explain .").success().without("syntax:");
}

#[test]
fn tools_see_directives_in_every_form() {
    let box_ = Sandbox::new();
    for (text, expected) in [
        (
            "#!/usr/bin/env x\n# syntax=a/b:1\n# check=skip=all\nFROM x\n",
            vec![("syntax", "a/b:1", 2), ("check", "skip=all", 3)],
        ),
        ("// syntax=a/b:1\n", vec![("syntax", "a/b:1", 1)]),
        ("{\"syntax\": \"a/b:1\"}\n", vec![("syntax", "a/b:1", 1)]),
        ("# escape=`\nFROM x\n", vec![("escape", "`", 1)]),
    ] {
        box_.write("Dockerfile", text);
        let parsed = box_.run("dockerfile parse --json Dockerfile").success().json();
        let directives = parsed["directives"].as_array().unwrap();
        let seen: Vec<_> = directives
            .iter()
            .map(|one| {
                let text = |key: &str| one[key].as_str().unwrap();
                (text("name"), text("value"), one["span"]["line"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(seen, expected, "{text}");
    }
}
