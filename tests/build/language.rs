//! Dockerfiles as people write them: what BuildKit makes of them is what is expected here.

use crate::harness::Sandbox;

/// The image's ENV without its PATH.
fn env(box_: &Sandbox, image: &str) -> String {
    box_.inspect(image, "{{range .Config.Env}}{{.}};{{end}}").replacen(
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin;",
        "",
        1,
    )
}

#[test]
fn a_stage_has_the_arguments_of_the_stage_it_stands_on() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox AS base\nARG V=1\nARG W\nFROM base AS mid\nRUN echo $V,$W > /mid\nENV E=$V$W\n\
         FROM mid\nLABEL v=$V\nRUN echo $W > /last\n",
    );
    box_.run("build --build-arg W=given -t a .").success();
    assert_eq!(box_.in_image("a", "cat /mid /last"), "1,given\ngiven\n");
    assert_eq!(
        (env(&box_, "a"), box_.inspect("a", "{{.Config.Labels.v}}")),
        ("E=1given;".into(), "1".into())
    );
}

#[test]
fn of_an_env_and_an_arg_with_one_name_the_later_counts() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox\nARG A=arg\nENV A=env\nRUN echo $A > /1\nARG A=arg\nRUN echo $A > /2\nENV B=$A A=last\n\
         RUN echo $A > /3\nARG A\nRUN echo $A > /4\n",
    );
    box_.run("build -t a .").success();
    assert_eq!(box_.in_image("a", "cat /1 /2 /3 /4"), "env\narg\nlast\nlast\n");
    assert_eq!(env(&box_, "a"), "A=last;B=arg;");
}

#[test]
fn the_platforms_arguments_are_there_and_can_be_given() {
    let box_ = Sandbox::new();
    let text = "FROM busybox AS base\nARG TARGETSTAGE TARGETOS TARGETARCH\n\
                RUN echo $TARGETSTAGE $TARGETOS $TARGETARCH > /x\nFROM base AS Final\nRUN true\n";
    box_.build("a", text);
    assert_eq!(box_.in_image("a", "cut -d' ' -f1,2 /x"), "final linux\n");
    box_.run("build --target base --build-arg TARGETARCH=riscv64 -t b .").success();
    assert_eq!(box_.in_image("b", "cat /x"), "base linux riscv64\n");
    box_.build("c", "FROM busybox AS only-final\nFROM only-$TARGETSTAGE AS final\nRUN true\n");
    box_.write("Dockerfile", "ARG P\nFROM --platform=$P busybox\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "empty platform value", "--build-arg"]);
}

#[test]
fn a_proxy_is_given_in_both_cases_and_is_no_part_of_the_image() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM busybox\nRUN echo $http_proxy,$HTTP_PROXY,$no_proxy > /x\n");
    box_.run("build --build-arg HTTP_PROXY=http://p:1 --build-arg no_proxy=n -t a .").success();
    assert_eq!(box_.in_image("a", "cat /x"), "http://p:1,http://p:1,n\n");
    assert_eq!(env(&box_, "a"), "");
}

#[test]
fn lines_are_joined_as_the_shell_would_see_them() {
    let box_ = Sandbox::new();
    box_.build(
        "a",
        "FROM busybox\r\nRUN echo a \\\r\n  # a comment\r\n\r\n  b \\\r\n   c > /x\r\nENV A=1 \\\r\n# another\r\n  B='$A' C=\"d e\"\r\n\
         RUN echo \"x#y\" #z > /dev/null\r\nRUN printf '%s\\n' a\\\r\nb > /y\r\nCMD [ -f x ] && y\r\n",
    );
    assert_eq!(box_.in_image("a", "cat /x /y"), "a b c\nab\n");
    assert_eq!(env(&box_, "a"), "A=1;B=$A;C=d e;");
    assert!(box_.inspect("a", "{{json .Config.Cmd}}").starts_with(r#"["/bin/sh","-c","[ -f x ] "#));
    box_.build("b", "# escape=`\nFROM busybox\nENV P=C:\\x Q=a`\n  R=[$P]\nENV S=$P\n");
    assert_eq!(env(&box_, "b"), "P=C:\\x;Q=a;R=[];S=C:\\x;");
}

#[test]
fn variables_are_cut_and_replaced() {
    let box_ = Sandbox::new();
    box_.build(
        "a",
        "FROM busybox\nENV V=foo.tar.gz X=a/b/c\n\
         ENV A=${V%.gz} B=${V%%.*} C=${V#*.} D=${V##*.} E=${X/\\//-} F=${X//\\//-} G=${U:-${V}} H=${U:+y}${V:+y} I=${V/f?o/Z}\n",
    );
    let seen = env(&box_, "a");
    let expected = "A=foo.tar;B=foo;C=tar.gz;D=gz;E=a-b/c;F=a-b-c;G=foo.tar.gz;H=y;I=Z.tar.gz;";
    assert_eq!(seen.replacen("V=foo.tar.gz;X=a/b/c;", "", 1), expected);
}

#[test]
fn several_heredocs_of_a_line_are_several_files() {
    let box_ = Sandbox::new();
    box_.build(
        "a",
        "FROM busybox\nARG X=ex\nCOPY <<one <<\"two\" <<-three /d/\n1 $X \\$X\none\n2 $X\ntwo\n\t\t3\n\tthree\n\
         COPY --chmod=755 --chown=3:4 <<EOF /s\n#!/bin/sh\necho ran\nEOF\n\
         RUN cat <<A > /x && cat <<B >> /x\nfirst $HOME\nA\nsecond\nB\nRUN << EOF\n/s > /y\nEOF\n\
         ONBUILD RUN <<EOF\necho triggered > /z\nEOF\n",
    );
    assert_eq!(box_.in_image("a", "cd /d; cat one two three"), "1 ex $X\n2 $X\n3\n");
    assert_eq!(box_.in_image("a", "cat /x /y; stat -c '%a %u:%g' /s"), "first /root\nsecond\nran\n755 3:4\n");
    box_.build("child", "FROM a\n");
    assert_eq!(box_.in_image("child", "cat /z"), "triggered\n");
    box_.write("Dockerfile", "FROM busybox\nCOPY x <<EOF\ny\nEOF\n");
    box_.refuses(1, &["build", "."], &["Dockerfile:2", "COPY cannot accept a heredoc as a destination"]);
}

#[test]
fn a_linked_copy_replaces_the_link_and_others_follow_it() {
    let box_ = Sandbox::new();
    box_.write("src/a", "a");
    box_.build(
        "a",
        "FROM busybox\nRUN mkdir /real /two && ln -s /real /one && ln -s /two /other\nCOPY src /one\nCOPY --link src /other\n\
         COPY --chmod=750 src /made/here\nCOPY --chown=:crew src/a /group\n",
    );
    let seen = box_.in_image(
        "a",
        "ls /real /two; test -L /one && test ! -L /other && cat /other/a; stat -c ' %a' /made /made/here; stat -c %U:%G /group",
    );
    assert_eq!(seen, "/real:\na\n\n/two:\na 750\n 750\nroot:crew\n");
    box_.build("b", "FROM scratch\nCOPY --chown=root:root src /\nCOPY --chown= --chmod= src /x/\n");
    box_.write("Dockerfile", "FROM busybox\nCOPY --chown=nobody-knows src /\n");
    box_.refuses(1, &["build", "."], &["Dockerfile:2", "no user `nobody-knows` in /etc/passwd"]);
}

#[test]
fn a_working_directory_is_kept_as_written_and_found_anyway() {
    let box_ = Sandbox::new();
    box_.build(
        "a",
        "FROM busybox\nWORKDIR /x//y/../z/\nRUN pwd > here\nWORKDIR sub\nCOPY Dockerfile ../copied\n",
    );
    assert_eq!(box_.in_image("a", "cat /x/z/here; ls /x/z"), "/x/z\ncopied\nhere\nsub\n");
    box_.build("b", "FROM busybox\nWORKDIR /x//y/../z\nCMD [\"pwd\"]\n");
    assert_eq!(box_.inspect("b", "{{.Config.WorkingDir}}"), "/x//y/../z");
    box_.run("run --rm --network none b").success().prints("/x/z\n");
}

#[test]
fn mounts_need_no_target_and_take_fields_that_say_nothing() {
    let box_ = Sandbox::new();
    box_.write("f", "found");
    box_.build(
        "a",
        "FROM busybox\nWORKDIR /w\nRUN --mount=source=. cat f > /tmp/1\nRUN --mount=type=tmpfs,target=/t,ro true\n\
         RUN --mount=type=cache,target=rel echo > rel/x\n",
    );
    assert_eq!(box_.in_image("a", "cat /tmp/1"), "found");
    for (mount, said) in [
        ("type=bnd,target=/x", "unsupported mount type \"bnd\""),
        ("type=bind,traget=/x", "unexpected key 'traget'"),
        ("type=bind,target=/", "invalid mount target \"/\""),
        ("type=secret,id=a,source=b", "both source and id can't be set"),
        ("type=bind,mode=0700,target=/x", "mode, uid and gid are not allowed for a bind mount"),
    ] {
        box_.write("Dockerfile", format!("FROM busybox\nRUN --mount={mount} true\n"));
        box_.refuses(1, &["build", "."], &["Dockerfile:2", said]);
    }
}

#[test]
fn what_a_name_can_not_stand_for_is_said() {
    let box_ = Sandbox::new();
    for (text, words) in [
        (
            "FROM busybox AS a\nCOPY --from=later /x /y\nFROM busybox AS later\nFROM a\n",
            ["Dockerfile:2", "cannot read from stage \"later\"", "move the stage later above"],
        ),
        (
            "FROM busybox\nFROM busybox\nCOPY --from=1 /x /y\n",
            ["Dockerfile:3", "invalid stage index 1", "numbers 0 to 0"],
        ),
        (
            "FROM busybox AS builder\nFROM busybox\nCOPY --from=biulder /x /y\n",
            [
                "Dockerfile:3",
                "docker.io/library/biulder:latest: not found",
                "did you mean the stage builder?",
            ],
        ),
        (
            "ARG S=a\nFROM busybox AS a\nFROM busybox\nCOPY --from=$S /x /y\n",
            ["Dockerfile:4", "variable expansion is not supported for --from", "FROM $IMAGE AS name"],
        ),
        ("FROM busybox\nENV A\n", ["Dockerfile:2", "ENV must have two arguments", "write `ENV NAME=VALUE`"]),
        ("FROM busybox\nENV A=${B:=c}\n", ["Dockerfile:2", "unsupported modifier (:=)", "the forms are"]),
        ("FROM busybox\nENV A=${B:?no}\n", ["Dockerfile:2", "B: no", "--build-arg B=VALUE"]),
    ] {
        box_.write("Dockerfile", text);
        box_.refuses(1, &["build", "."], &words);
    }
}

#[test]
fn a_misspelt_name_gets_the_one_that_was_meant() {
    let box_ = Sandbox::new();
    box_.write("package.json", "{}");
    box_.write("src/main.c", "");
    box_.write(".dockerignore", "hidden\n");
    box_.write("hidden", "");
    for (line, hint) in [
        ("COPY pacakge.json /", "did you mean /package.json?"),
        ("ADD src/mian.c /", "did you mean /src/main.c?"),
        ("COPY --from=busybox /bni/busybox /", "did you mean /bin/busybox?"),
        ("COPY --form=busybox /bin/busybox /", "did you mean --from?"),
        ("COPY hidden /", "look for the pattern in .dockerignore"),
        ("COPY nothing-like-it /", "below the build context or the root of the stage"),
        ("COYP package.json /", "did you mean COPY?"),
        ("RUN --mount=type=secret,id=npn,required true", "did you mean npm?"),
        ("RUN --mount=type=ssh,id=depoly,required true", "did you mean deploy?"),
        ("RUN --mount=type=bnd,target=/x true", "known types: bind, cache"),
        ("RUN --mount=from=bulid,target=/x true", "did you mean the stage build?"),
        ("RUN --mount=source=scr,target=/x true", "did you mean /src?"),
    ] {
        box_.write("Dockerfile", format!("FROM busybox AS build\nFROM busybox\n{line}\n"));
        let socket = box_.dir().join("agent");
        let _agent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let agent = format!("deploy={}", socket.display());
        let secret = "id=npm,src=package.json";
        box_.run(&format!("build --ssh {agent} --secret {secret} ."))
            .fails(1)
            .says("Dockerfile:3")
            .says(hint);
        std::fs::remove_file(&socket).unwrap();
    }
    box_.write("rootfs.tar", [0; 1024]);
    box_.refuses(1, &["import", "--change", "CMDD x", "rootfs.tar", "y"], &["CMDD", "did you mean CMD?"]);
    box_.write("Dockerfile", "FROM busybox AS build\nARG VERSION\nRUN true\n");
    box_.run("build --build-arg VERSOIN=1 --no-cache-filter biuld .")
        .success()
        .says("one or more build-args [VERSOIN] were not consumed (did you mean VERSION?)")
        .says("no stage is called that (did you mean build?)");
}

#[test]
fn what_is_odd_but_works_with_docker_works() {
    let box_ = Sandbox::new();
    box_.build(
        "a",
        "FROM busybox\nARG PORTS=\"80 443\"\nEXPOSE $PORTS 7000-7001/TCP 53/udp 9/\nHEALTHCHECK --interval=5s none\n\
         SHELL [\"/bin/sh\", \"-ec\"]\nCMD echo hi\nADD --keep-git-dir=true Dockerfile /x\n",
    )
    .says("KeepGitDirWithoutGit")
    .without("JSONArgsRecommended");
    assert_eq!(
        box_.inspect("a", "{{json .Config.ExposedPorts}}"),
        r#"{"443/tcp":{},"53/udp":{},"7000/tcp":{},"7001/tcp":{},"80/tcp":{},"9/tcp":{}}"#
    );
    assert_eq!(box_.inspect("a", "{{json .Config.Healthcheck.Test}}"), r#"["NONE"]"#);
}

#[test]
fn a_file_in_another_encoding_is_refused_where_it_matters() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", b"\xef\xbb\xbf# by Ren\xe9\nFROM busybox\nENV A=1\n");
    box_.run("build .").success();
    box_.write("Dockerfile", b"FROM busybox\nLABEL by=Ren\xe9\n");
    let words = ["Dockerfile:2", "line 2 is no UTF-8: it holds the byte 0xe9", "iconv"];
    box_.refuses(1, &["build", "."], &words);
}

#[test]
fn images_are_called_by_their_names_alone() {
    let box_ = Sandbox::new();
    let id = box_.inspect("busybox", "{{.Id}}");
    let hex = id.strip_prefix("sha256:").unwrap();
    let (short, hint) = (&hex[..12], format!("wharf tag {} NAME", &hex[..12]));
    for line in [
        "FROM ID",
        "FROM busybox\nCOPY --from=ID /bin /x",
        "FROM busybox\nRUN --mount=from=ID,target=/x true",
    ] {
        box_.write("Dockerfile", line.replace("ID", short));
        box_.refuses(1, &["build", "."], &[&format!("docker.io/library/{short}:latest: not found"), &hint]);
        box_.write("Dockerfile", line.replace("ID", hex));
        box_.refuses(1, &["build", "."], &["looks like an image id, which can not be a name"]);
        box_.write("Dockerfile", line.replace("ID", &id));
        box_.refuses(1, &["build", "."], &[&format!("docker.io/library/{id}: not found")]);
    }
}

#[test]
fn a_stage_is_called_as_it_is_written() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "ARG N=base\nFROM busybox AS $N\n");
    box_.refuses(
        1,
        &["build", "."],
        &["Dockerfile:2", "invalid name for build stage: \"$N\"", "not expanded"],
    );
}

#[test]
fn a_system_alone_is_one_of_this_machine_s_processor() {
    let box_ = Sandbox::new();
    let own = box_.inspect("busybox", "{{.Os}}/{{.Architecture}}");
    box_.build("a", "FROM --platform=linux busybox\n");
    box_.write("Dockerfile", "FROM busybox\nARG TARGETPLATFORM\nENV P=$TARGETPLATFORM\n");
    box_.run("build --platform linux -t b .").success();
    assert_eq!(env(&box_, "b"), format!("P={own};"));
    box_.write("Dockerfile", "FROM --platform=linx busybox\n");
    box_.refuses(1, &["build", "."], &["\"linx\": unknown operating system or architecture"]);
}

#[test]
fn a_label_without_an_equals_sign_takes_the_rest_of_the_line() {
    let box_ = Sandbox::new();
    box_.build("a", "FROM busybox\nLABEL one two three\nLABEL ONE TWO= THREE=x\nLABEL a=\"b c\" d=e\n");
    assert_eq!(
        box_.inspect("a", "{{json .Config.Labels}}"),
        r#"{"ONE":"TWO= THREE=x","a":"b c","d":"e","one":"two three"}"#
    );
}

#[test]
fn a_shell_and_a_health_check_are_kept_as_written() {
    let box_ = Sandbox::new();
    box_.build(
        "a",
        "FROM busybox\nARG A=arg\nENV E=env\nHEALTHCHECK CMD echo $A ${E}\nSHELL [\"/bin/$A\", \"${E}\"]\nCMD x\n",
    );
    assert_eq!(
        box_.inspect("a", "{{json .Config.Healthcheck.Test}}{{json .Config.Cmd}}"),
        r#"["CMD-SHELL","echo $A ${E}"]["/bin/$A","${E}","x"]"#
    );
    box_.build("b", "FROM busybox\nENV E=env\nHEALTHCHECK CMD [\"echo\", \"$E\"]\n");
    assert_eq!(box_.inspect("b", "{{json .Config.Healthcheck.Test}}"), r#"["CMD","echo","$E"]"#);
}

#[test]
fn a_volume_that_is_named_twice_is_mounted_once() {
    let box_ = Sandbox::new();
    box_.build("a", "FROM busybox\nVOLUME /v/ /v\n");
    assert_eq!(box_.inspect("a", "{{json .Config.Volumes}}"), r#"{"/v":{},"/v/":{}}"#);
    assert_eq!(box_.in_image("a", "grep -c ' /v ' /proc/mounts"), "1\n");
}
