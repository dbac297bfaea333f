//! Options of `wharf build`.

use crate::harness::Sandbox;

#[test]
fn an_image_can_get_several_names_at_once() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    box_.run("build -t one -t two:v1 -t localhost:5000/three .").success();
    let ids: Vec<String> =
        ["one", "two:v1", "localhost:5000/three"].map(|name| box_.inspect(name, "{{.Id}}")).into();
    assert!(ids.iter().all(|id| *id == ids[0] && id.starts_with("sha256:")), "{ids:?}");
}

#[test]
fn without_a_name_the_image_has_none() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    let id = box_.run("build -q .").success().line().to_owned();
    box_.run("images").success().line_with("<none>");
    box_.run(&format!("run --rm --network none {id}")).success();
}

#[test]
fn the_id_is_printed_and_written_where_it_is_asked_for() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    box_.run("build --iidfile id -t c .").success().prints("").says("named c:latest");
    assert_eq!(box_.read("id"), box_.inspect("c", "{{.Id}}"));
}

#[test]
fn build_arguments_reach_the_steps_that_declare_them() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "ARG TAG=missing\nFROM busybox:$TAG\nARG WHO=nobody\nARG SILENT\nRUN echo hello $WHO,$SILENT,$TAG\n",
    );
    box_.run("build --build-arg TAG=latest --build-arg WHO=sailor -t a .").success().says("hello sailor,,");
    box_.run("build --build-arg TAG=latest -t a .").success().says("hello nobody,,");
    box_.set("SILENT", "from the caller");
    box_.run("build --build-arg TAG=latest --build-arg SILENT -t a .")
        .success()
        .says("hello nobody,from the caller,");
    box_.run("build --build-arg TAG=latest --build-arg UNUSED=1 -t a .").success().says("UNUSED");
}

#[test]
fn a_label_can_be_given_on_the_command_line() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nLABEL a=1\n");
    box_.run("build --label b=2 -t l .").success();
    assert_eq!(box_.inspect("l", "{{.Config.Labels.a}}{{.Config.Labels.b}}"), "12");
}

#[test]
fn progress_is_plain_in_a_pipe_and_moves_on_a_terminal() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo from the step\n");
    box_.run("build -t p .")
        .success()
        .says("RUN echo from the step")
        .says("  from the step")
        .without("\u{1b}");
    let mut terminal = box_.terminal("build --no-cache -t p .");
    terminal.expect("from the step");
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.screen().contains('\u{1b}'));
}

#[test]
fn what_is_always_so_may_be_asked_for_and_a_registry_may_not() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    box_.run("build --rm --force-rm --pull=false -t x .").success();
    box_.run("build --rm=false -t x .").success();
    box_.refuses(1, &["build", "--pull", "-t", "y", "."], &["registry", "--pull"]);
    box_.refuses(125, &["run", "--pull", "always", "busybox"], &["cannot pull busybox", "registry", "hint"]);
    box_.refuses(125, &["create", "--pull", "always", "busybox"], &["cannot pull busybox"]);
    box_.run("run --rm --pull never --network none busybox true").success();
}
