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
        .says(" from the step")
        .without("\u{1b}");
    let mut terminal = box_.terminal("build --no-cache -t p .");
    terminal.expect("from the step");
    assert_eq!(terminal.wait(), 0);
    assert!(terminal.screen().contains('\u{1b}'));
}

#[test]
fn what_changes_nothing_may_be_asked_for() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    box_.run("build --rm --force-rm --pull=false -t x .").success();
    box_.run("build --rm=false --compress --isolation default -t x .").success();
    box_.refuses(1, &["build", "--squash", "-t", "y", "."], &["cannot squash", "COPY --from=0"]);
    box_.refuses(1, &["build", "--annotation", "a=b", "-t", "y", "."], &["a=b", "--label"]);
    let nobody = "127.0.0.1:1/app";
    box_.run(&format!("tag busybox {nobody}")).success();
    box_.refuses(
        125,
        &["run", "--pull", "always", nobody],
        &["cannot pull 127.0.0.1:1/app:latest", "refused", "hint"],
    );
    box_.refuses(125, &["create", "--pull", "always", nobody], &["cannot pull"]);
    box_.run("run --rm --pull never --network none busybox true").success();
}

#[test]
fn what_was_built_is_written_down_for_programs() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nCMD [\"true\"]\n");
    box_.run("build --metadata-file meta.json -t one -t localhost:5000/two:v1 .").success();
    let meta: serde_json::Value = serde_json::from_str(&box_.read("meta.json")).unwrap();
    let id = box_.inspect("one", "{{.Id}}");
    assert_eq!(meta["containerimage.config.digest"], id.as_str());
    assert_eq!(meta["containerimage.digest"], id.as_str());
    assert_eq!(meta["image.name"], "docker.io/library/one:latest,localhost:5000/two:v1");

    box_.write("id", "an older one");
    box_.write("Dockerfile", "FROM busybox\nRUN false\n");
    box_.run("build --iidfile id -t one .").fails(1);
    assert!(!box_.dir().join("id").exists(), "no id of another build is left");
}

#[test]
fn the_cache_is_left_out_for_the_stages_that_are_named() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox AS one\nRUN cat /proc/sys/kernel/random/uuid > /one\n\
         FROM busybox AS two\nRUN cat /proc/sys/kernel/random/uuid > /two\n\
         FROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /\n",
    );
    let built = |options: &str| {
        box_.run(&format!("build {options} -t x .")).success();
        box_.in_image("x", "cat /one /two").lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let first = built("");
    let second = built("--no-cache-filter one");
    assert!(first[0] != second[0] && first[1] == second[1], "{first:?} {second:?}");
    let third = built("--no-cache-filter TWO,absent");
    assert!(second[0] == third[0] && second[1] != third[1], "{second:?} {third:?}");
    let fourth = built("--no-cache-filter one,two");
    assert!(third[0] != fourth[0] && third[1] != fourth[1], "{third:?} {fourth:?}");
}

#[test]
fn a_time_is_given_by_variable_or_argument() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo \"time <$SOURCE_DATE_EPOCH>\" > /t\n",
    );
    box_.run("build --build-arg SOURCE_DATE_EPOCH=1000000000 -t x .").success();
    assert_eq!(box_.inspect("x", "{{.Created}}"), "2001-09-09T01:46:40Z");
    assert_eq!(box_.in_image("x", "cat /t"), "time <1000000000>\n");
    box_.set("SOURCE_DATE_EPOCH", "1100000000");
    box_.run("build -t x .").success();
    assert_eq!(box_.inspect("x", "{{.Created}}"), "2004-11-09T11:33:20Z");
    assert_eq!(box_.in_image("x", "cat /t"), "time <1100000000>\n");
    box_.run("build --build-arg SOURCE_DATE_EPOCH=1000000000 -t x .").success();
    assert_eq!(box_.inspect("x", "{{.Created}}"), "2001-09-09T01:46:40Z");
    box_.run("build --build-arg SOURCE_DATE_EPOCH=today -t x .")
        .fails(1)
        .says("SOURCE_DATE_EPOCH is `today`");
}

#[test]
fn a_proxy_is_seen_by_steps_and_is_neither_kept_nor_counted() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo \"proxy <$http_proxy>\"\n");
    let proxy = |host: &str| format!("build --build-arg http_proxy=http://{host}:3128 -t x .");
    box_.run(&proxy("one")).success().says("proxy <http://one:3128>").without("UnconsumedBuildArg");
    box_.run(&proxy("two")).success().says("CACHED");
    box_.run("history --no-trunc x").success().without("3128");
    box_.run("inspect x").success().without("3128");
}
