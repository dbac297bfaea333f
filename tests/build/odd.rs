//! Dockerfiles that people could write, and where engines differ: what BuildKit makes of them is what they
//! mean.

use crate::harness::{Sandbox, host};

/// What a script prints in an image of this Dockerfile.
#[track_caller]
fn prints(box_: &Sandbox, dockerfile: &str, script: &str, expected: &str) {
    box_.build("odd", dockerfile);
    assert_eq!(box_.in_image("odd", script), expected, "{dockerfile}");
}

#[test]
fn an_arg_that_shadowed_an_env_does_not_in_a_stage_on_top() {
    let dockerfile = "FROM busybox AS one\nENV A=env\nARG A=arg B=seen\nRUN echo $A > /one\n\
                      FROM one\nRUN echo $A $B > /two\nARG A=again\nRUN echo $A > /three\n";
    prints(&Sandbox::new(), dockerfile, "cat /one /two /three; echo $A", "arg\nenv seen\nagain\nenv\n");
}

#[test]
fn parents_are_cut_off_behind_a_wildcard_too() {
    let box_ = Sandbox::new();
    for path in ["a/b/c/f.txt", "a/b/g.txt", "a/x/h.txt", "a/x/i.md"] {
        box_.write(path, "");
    }
    let dockerfile = "FROM busybox\nCOPY --parents a/*/./*.txt /1/\nCOPY --parents */./b /2/\n\
                      COPY --parents n*/./b /3/\nCOPY --parents a/./*/../x /4/\n";
    let expected = "/1/g.txt\n/1/h.txt\n/2/b/c/f.txt\n/2/b/g.txt\n/4/x/h.txt\n/4/x/i.md\n";
    prints(&box_, dockerfile, "find /[1-4] -type f | sort", expected);
    box_.write("Dockerfile", "FROM busybox\nCOPY --parents n/./b /3/\n");
    box_.refuses(1, &["build", "."], &["Dockerfile:2", "not found"]);
}

#[test]
fn a_cache_that_begins_with_files_is_as_their_directory() {
    let dockerfile = "FROM busybox AS s\nRUN mkdir /s && touch /s/f && chown 7:8 /s && chmod 750 /s\nFROM busybox\n\
                      RUN --mount=type=cache,target=/c,from=s,source=/s,uid=5,mode=0711 ls -ldn /c | cut -c1-27 > /1; ls /c >> /1\n\
                      RUN --mount=type=cache,target=/d,uid=5,gid=6,mode=0711 ls -ldn /d | cut -c1-27 > /2\n";
    let expected = "drwxr-x---    2 7        8 \nf\ndrwx--x--x    2 5        6 \n";
    prints(&Sandbox::new(), dockerfile, "cat /1 /2", expected);
}

#[test]
fn a_directory_that_is_shown_has_its_mode() {
    let box_ = Sandbox::new();
    box_.write("d/s/f", "");
    host(&["chmod", "750", box_.dir().join("d").to_str().unwrap()]);
    host(&["chmod", "700", box_.dir().join("d/s").to_str().unwrap()]);
    let look = "stat -c %a /m /m/s";
    let dockerfile = format!(
        "FROM busybox\nRUN --mount=target=/m,source=d {look} > /1\nRUN --mount=target=/m,source=d,rw {look} > /2\n\
         RUN --mount=target=/m stat -c %a /m > /3\n"
    );
    prints(&box_, &dockerfile, "cat /1 /2 /3", "750\n700\n750\n700\n755\n");
}

#[test]
fn variables_that_nobody_set_leave_nothing_out_that_is_needed() {
    let box_ = Sandbox::new();
    box_.write("f", "f");
    let dockerfile =
        "FROM busybox\nARG U\nWORKDIR /w\nCOPY f $U\nADD f ${U}\nCOPY --chown=$U --chmod=$U f $U/x/\n";
    prints(&box_, dockerfile, "ls /w /x", "/w:\nf\n\n/x:\nf\n");
    // An image that runs as root because a variable was forgotten is none that anybody wants.
    for line in ["USER $U", "WORKDIR $U", "EXPOSE $U"] {
        box_.write("Dockerfile", format!("FROM busybox\nARG U\n{line}\n"));
        box_.refuses(1, &["build", "."], &["Dockerfile:3", "one argument", "--build-arg"]);
    }
}

/// No repository keeps them, and the same input has to give the same image.
#[test]
fn attributes_of_the_context_stay_there() {
    let box_ = Sandbox::new();
    let file = box_.write("d/f", "f");
    let dockerfile = "FROM busybox\nCOPY d /d\n";
    box_.build("plain", dockerfile);
    let file = std::fs::File::open(file).unwrap();
    match rustix::fs::fsetxattr(&file, "user.wharf", b"1", rustix::fs::XattrFlags::empty()) {
        Err(rustix::io::Errno::OPNOTSUPP) => {
            eprintln!("skipped: the file system of the tests has no attributes");
            return;
        }
        set => set.unwrap(),
    }
    box_.run("build -t odd .").success().says("CACHED");
    box_.run("build -t odd --no-cache .").success();
    assert_eq!(box_.inspect("odd", "{{.Id}}"), box_.inspect("plain", "{{.Id}}"));
    host(&["touch", box_.dir().join("d/f").to_str().unwrap()]);
    box_.run("build -t odd .").success().says("CACHED");
}
