//! What instructions leave in the image's config and history, and whom their words reach.

use serde_json::{Value, json};

use crate::harness::Sandbox;

/// The config of what is built here, as it is in an archive.
fn config(box_: &Sandbox, options: &str) -> Value {
    box_.run(&format!("build {options} -o type=oci,dest=layout,tar=false .")).success();
    let read = |path: &str| -> Value { serde_json::from_str(&box_.read(&format!("layout/{path}"))).unwrap() };
    let blob = |digest: &Value| read(&format!("blobs/{}", digest.as_str().unwrap().replace(':', "/")));
    let manifest = blob(&read("index.json")["manifests"][0]["digest"]);
    let config = blob(&manifest["config"]["digest"]);
    std::fs::remove_dir_all(box_.dir().join("layout")).unwrap();
    config
}

#[test]
fn history_has_every_instruction_in_its_order_and_says_which_made_no_layer() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox AS other\nRUN echo other > /other\nFROM busybox\nENV A=1\nWORKDIR /w\nLABEL b=2\n\
         COPY --from=other /other .\nRUN true\nRUN echo $A > /a\nUSER 1\nCMD [\"x\"]\n",
    );
    let config = config(&box_, "--build-arg SOURCE_DATE_EPOCH=1000000000");
    let entries = config["history"].as_array().unwrap();
    let own: Vec<(&str, bool)> = entries
        .iter()
        .skip(1)
        .map(|entry| (entry["created_by"].as_str().unwrap(), entry["empty_layer"] == true))
        .collect();
    assert_eq!(
        own,
        [
            ("ENV A=1", true),
            ("WORKDIR /w", false),
            ("LABEL b=2", true),
            ("COPY --from=other /other .", false),
            // Where the first program runs, its mount points stay.
            ("RUN true", false),
            ("RUN echo $A > /a", false),
            ("USER 1", true),
            ("CMD [\"x\"]", true),
        ]
    );
    assert!(entries.iter().skip(1).all(|entry| entry["created"] == "2001-09-09T01:46:40Z"), "{entries:?}");
    let layers = entries.iter().filter(|entry| entry["empty_layer"] != true).count();
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), layers);
}

#[test]
fn a_shell_is_kept_and_what_comes_after_it_uses_it() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox\nCMD before\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN echo $- > /flags\nCMD after\nENTRYPOINT entry\n\
         HEALTHCHECK CMD first\nHEALTHCHECK --retries=3 --interval=1s CMD last one\n",
    );
    let of = config(&box_, "-t s")["config"].clone();
    assert_eq!(of["Shell"], json!(["/bin/sh", "-ec"]));
    assert_eq!(of["Cmd"], json!(["/bin/sh", "-ec", "after"]));
    assert_eq!(of["Entrypoint"], json!(["/bin/sh", "-ec", "entry"]));
    let check = json!({ "Test": ["CMD-SHELL", "last one"], "Interval": 1_000_000_000, "Retries": 3 });
    assert_eq!(of["Healthcheck"], check);
    box_.run("build -t s .").success();
    assert!(box_.in_image("s", "cat /flags").contains('e'));
    box_.build("child", "FROM s\nHEALTHCHECK CMD [\"a\", \"b\"]\nRUN false || true\n");
    assert_eq!(box_.inspect("child", "{{json .Config.Healthcheck.Test}}"), r#"["CMD","a","b"]"#);
}

#[test]
fn entrypoint_and_cmd_are_joined_as_the_table_has_it() {
    let box_ = Sandbox::new();
    box_.build("exec", "FROM busybox\nENTRYPOINT [\"echo\", \"entry\"]\nCMD cmd $X\n");
    box_.run("run --rm --network none exec").success().prints("entry /bin/sh -c cmd $X\n");
    box_.run("run --rm --network none exec own").success().prints("entry own\n");
    // A CMD is for the image's own ENTRYPOINT.
    box_.run("run --rm --network none --entrypoint echo exec").success().prints("\n");
    box_.run("run --rm --network none --entrypoint echo exec own").success().prints("own\n");
    box_.build("child", "FROM exec\nCMD [\"second\"]\n");
    box_.run("run --rm --network none child").success().prints("entry second\n");
    box_.build("reset", "FROM exec\nENTRYPOINT []\nCMD [\"echo\", \"alone\"]\n");
    box_.run("run --rm --network none reset").success().prints("alone\n");
}

#[test]
fn a_user_is_looked_up_when_a_program_runs_as_it() {
    let box_ = Sandbox::new();
    box_.build("u", "FROM busybox\nUSER nobody-yet\n");
    assert_eq!(box_.inspect("u", "{{.Config.User}}"), "nobody-yet");
    box_.write("Dockerfile", "FROM busybox\nUSER nobody-yet\nCOPY Dockerfile /\nRUN --network=none id\n");
    box_.run("build .").fails(1).says("Dockerfile:4").says("nobody-yet");
    box_.build(
        "late",
        "FROM busybox\nRUN echo 'nobody-yet:x:77:88::/home:/bin/sh' >> /etc/passwd\nUSER nobody-yet\nRUN id -u > /tmp/id\n",
    );
    assert_eq!(box_.in_image("late", "cat /tmp/id; id -u; echo $HOME"), "77\n77\n/home\n");
    // With a group, that one alone; without one, all that the files say.
    box_.build(
        "g",
        "FROM busybox\nUSER sailor\nRUN id -G > /tmp/own\nUSER sailor:root\nRUN id -G > /tmp/given\n",
    );
    assert_eq!(box_.in_image("g", "cat /tmp/own /tmp/given"), "1000 2000\n0\n");
}

#[test]
fn words_are_expanded_where_they_are_ours_and_left_where_they_are_a_programs() {
    let box_ = Sandbox::new();
    box_.write("src/keep", "");
    box_.write("src/drop", "");
    box_.write(
        "Dockerfile",
        "FROM busybox AS made\nRUN echo m > /m\nFROM busybox\nARG WHO=sailor MODE=700 SKIP=drop AT=/at SIG=USR1\n\
         ENV D=/data\nCOPY --chown=$WHO:crew --chmod=$MODE --exclude=$SKIP src $D/\n\
         RUN --mount=from=made,target=$AT cp $AT/m /copied\nSTOPSIGNAL SIG$SIG\nVOLUME $D/v\nLABEL l=$WHO \"$WHO\"=x\n\
         USER $WHO\nWORKDIR $D/$WHO\nEXPOSE ${PORT:-80}\nENTRYPOINT [\"echo\", \"$WHO\"]\nCMD [\"$D\"]\n",
    );
    let of = config(&box_, "")["config"].clone();
    assert_eq!((&of["StopSignal"], &of["User"]), (&json!("SIGUSR1"), &json!("sailor")));
    assert_eq!((&of["Volumes"], &of["ExposedPorts"]), (&json!({ "/data/v": {} }), &json!({ "80/tcp": {} })));
    assert_eq!(of["Labels"], json!({ "l": "sailor", "sailor": "x" }));
    assert_eq!(of["WorkingDir"], "/data/sailor");
    assert_eq!((&of["Entrypoint"], &of["Cmd"]), (&json!(["echo", "$WHO"]), &json!(["$D"])));
    box_.run("build -t e .").success();
    assert_eq!(
        box_.in_image("e", "ls /data; stat -c '%U:%G %a' /data/keep; cat /copied"),
        "keep\nsailor\nv\nsailor:crew 700\nm\n"
    );
    // BuildKit has no variables in the name of a stage; nothing speaks against them here.
    box_.build("v", "FROM busybox AS a\nRUN echo of a > /x\nFROM busybox\nARG S=a\nRUN --mount=from=$S,target=/m cat /m/x\n")
        .says(" of a");
}

#[test]
fn a_working_directory_is_a_layer_though_nothing_is_put_there() {
    let box_ = Sandbox::new();
    let layers = |name: &str| box_.inspect(name, "{{len .RootFS.Layers}}");
    box_.build("w", "FROM busybox\nUSER sailor\nWORKDIR /home/made\n");
    assert_eq!((layers("busybox"), layers("w")), ("1".into(), "2".into()));
    assert_eq!(box_.in_image("w", "stat -c '%U %a' /home/made"), "sailor 755\n");
}

#[test]
fn an_argument_is_part_of_every_later_step() {
    let box_ = Sandbox::new();
    let text = "FROM busybox\nRUN echo before\nARG A\nRUN echo after\nRUN echo later\nCOPY Dockerfile /\n";
    box_.write("Dockerfile", text);
    box_.run("build --build-arg A=1 -t a .").success();
    let same = box_.run("build --build-arg A=1 -t a .").success();
    assert_eq!(same.stderr.matches("CACHED").count(), 4, "{same}");
    let changed = box_.run("build --build-arg A=2 -t a .").success();
    // The programs run again; what stands on the same files as before is still known.
    assert_eq!(changed.stderr.matches("CACHED").count(), 2, "{changed}");
    changed.says(" after\n").says(" later\n").without("#2 DONE");
    let explained = box_.run("build --build-arg A=3 --explain -t a .").success();
    assert!(explained.stdout.contains("not cached: changed: environment"), "{explained}");
}
