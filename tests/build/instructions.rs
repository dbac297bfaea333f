//! The instructions of the founding document, one by one.

use crate::harness::{Sandbox, eventually, free_port};

#[test]
fn from_finds_the_local_image_under_any_of_its_names() {
    let box_ = Sandbox::new();
    for name in ["busybox", "busybox:latest", "docker.io/library/busybox", "docker.io/library/busybox:latest"]
    {
        box_.build("child", &format!("FROM {name}\nCMD [\"true\"]\n"));
    }
}

#[test]
fn from_names_the_full_reference_of_an_image_that_is_not_there() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM python:3.6\n");
    box_.refuses(
        1,
        &["build", "-t", "x", "."],
        &["Dockerfile:1", "docker.io/library/python:3.6", "not found"],
    );
}

#[test]
fn maintainer_is_the_author_and_deprecated() {
    let box_ = Sandbox::new();
    box_.build("m", "FROM busybox\nMAINTAINER geebos\n")
        .says("warning")
        .says("Maintainer instruction is deprecated");
    assert_eq!(box_.inspect("m", "{{.Author}}"), "geebos");
}

#[test]
fn env_is_seen_by_later_steps_and_at_run_time() {
    let box_ = Sandbox::new();
    let built = box_.build(
        "env",
        "FROM busybox\nENV PRODUCTION_ENV 1\nENV A=b C=\"d e\" F=$PRODUCTION_ENV\nRUN echo seen=$PRODUCTION_ENV$F\n",
    );
    built.says("seen=11").says("LegacyKeyValueFormat");
    let seen = box_.in_image("env", "echo $PRODUCTION_ENV,$A,$C,$F");
    assert_eq!(seen, "1,b,d e,1\n");
    assert!(box_.inspect("env", "{{json .Config.Env}}").contains("\"PRODUCTION_ENV=1\""));
}

#[test]
fn expose_declares_ports_and_opens_none() {
    let box_ = Sandbox::new();
    box_.build("e", "FROM busybox\nEXPOSE 80\nEXPOSE 80 8080\nCMD [\"httpd\", \"-f\", \"-p\", \"8080\"]\n");
    assert_eq!(box_.inspect("e", "{{json .Config.ExposedPorts}}"), r#"{"80/tcp":{},"8080/tcp":{}}"#);
    box_.run("run -d --name e e").success();
    box_.run("ps").shows("80/tcp, 8080/tcp").without("->");
    assert!(box_.inspect("e", "{{json .NetworkSettings.Ports}}").contains("\"80/tcp\":null"));
    assert!(std::net::TcpStream::connect("127.0.0.1:8080").is_err(), "nothing may listen on the host");
}

#[test]
fn the_last_entrypoint_counts_and_takes_the_arguments_of_run() {
    let box_ = Sandbox::new();
    box_.build(
        "exec",
        "FROM busybox\nENTRYPOINT [\"echo\", \"one\"]\nENTRYPOINT [\"echo\", \"two\", \"p1\"]\n",
    );
    box_.run("run --rm --network none exec").success().prints("two p1\n");
    box_.run("run --rm --network none exec a b").success().prints("two p1 a b\n");
    box_.run("run --rm --network none --entrypoint printf exec %s- x y").success().prints("x-y-");
}

#[test]
fn an_entrypoint_in_shell_form_ignores_the_arguments_of_run() {
    let box_ = Sandbox::new();
    box_.build("shell", "FROM busybox\nCMD [\"ignored\"]\nENTRYPOINT echo $0 from the shell\n");
    box_.run("run --rm --network none shell").success().shows("from the shell");
    let argued = box_.run("run --rm --network none shell a b").success().shows("from the shell");
    assert!(!argued.stdout.contains(" b"), "{argued}");
    assert_eq!(
        box_.inspect("shell", "{{json .Config.Entrypoint}}"),
        r#"["/bin/sh","-c","echo $0 from the shell"]"#
    );
}

#[test]
fn cmd_is_the_default_that_run_replaces() {
    let box_ = Sandbox::new();
    box_.build("c", "FROM busybox\nCMD [\"echo\", \"by default\"]\n");
    box_.run("run --rm --network none c").success().prints("by default\n");
    box_.run("run --rm --network none c echo given").success().prints("given\n");
    box_.build("both", "FROM busybox\nCMD [\"x\"]\nENTRYPOINT [\"echo\", \"entry\"]\n");
    box_.run("run --rm --network none both").success().prints("entry x\n");
    box_.build("child", "FROM c\nENTRYPOINT [\"echo\", \"alone\"]\n");
    box_.run("run --rm --network none child").success().prints("alone\n");
}

#[test]
fn workdir_is_made_and_holds_for_what_follows() {
    let box_ = Sandbox::new();
    box_.build("w", "FROM busybox\nWORKDIR /root/project\nWORKDIR sub\nRUN pwd > here\nCMD [\"pwd\"]\n");
    assert_eq!(
        box_.in_image("w", "cat /root/project/sub/here; stat -c '%a %u' /root/project"),
        "/root/project/sub\n755 0\n"
    );
    box_.run("run --rm --network none w").prints("/root/project/sub\n");
}

#[test]
fn user_and_label_are_kept() {
    let box_ = Sandbox::new();
    box_.build("u", "FROM busybox\nLABEL a=1 \"b c\"=2\nUSER sailor\nRUN id -un > /tmp/who\nCMD [\"id\"]\n");
    box_.run("run --rm --network none u").success().shows("uid=1000(sailor)").shows("2000(crew)");
    assert_eq!(box_.in_image("u", "cat /tmp/who"), "sailor\n");
    assert_eq!(box_.inspect("u", "{{json .Config.Labels}}"), r#"{"a":"1","b c":"2"}"#);
}

#[test]
fn run_installs_what_the_context_lists_and_is_cached_the_second_time() {
    let box_ = Sandbox::with_python();
    box_.write("parts/thing.py", "def say():\n    print('the thing is installed')\n");
    box_.write("parts/thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n");
    box_.write(
        "parts/thing-1.0.dist-info/WHEEL",
        "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    );
    box_.write("parts/thing-1.0.dist-info/RECORD", "");
    box_.write("context/.keep", "");
    let (parts, context) = (box_.dir().join("parts"), box_.dir().join("context"));
    let mounts = [format!("{}:/parts", parts.display()), format!("{}:/context", context.display())];
    box_.wharf([
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &mounts[0],
        "-v",
        &mounts[1],
        "-w",
        "/parts",
        "python:3.6",
        "python",
        "-m",
        "zipfile",
        "-c",
        "/context/thing-1.0-py3-none-any.whl",
        "thing.py",
        "thing-1.0.dist-info/",
    ])
    .success();
    box_.write("context/requirements.txt", "--no-index\n--find-links .\nthing==1.0\n");
    box_.write(
        "context/Dockerfile",
        "FROM python:3.6\nCOPY . /root/project\nWORKDIR /root/project\nRUN pip install -r requirements.txt\n\
         CMD [\"python\", \"-c\", \"import thing; thing.say()\"]\n",
    );
    box_.run("build --network none -t project context").success().says("Successfully installed thing-1.0");
    box_.run("run --rm --network none project").success().prints("the thing is installed\n");
    let again = box_.run("build --network none -t project context").success();
    assert_eq!(again.stderr.matches("CACHED").count(), 3, "{again}");
}

#[test]
fn a_misspelt_pip_command_fails_the_build_and_tags_nothing() {
    let box_ = Sandbox::with_python();
    box_.write("Dockerfile", "FROM python:3.6\nRUN pip isntall -r requirements.txt\n");
    box_.refuses(
        1,
        &["build", "--network", "none", "-t", "broken", "."],
        &[
            "Dockerfile:2",
            "RUN pip isntall -r requirements.txt",
            "exit code: 1",
            "unknown command \"isntall\"",
        ],
    );
    assert!(!box_.run("images").stdout.contains("broken"));
}

#[test]
fn volume_names_a_directory_once_and_every_run_gets_its_own() {
    let box_ = Sandbox::new();
    box_.build("v", "FROM busybox\nVOLUME [\"/data\", \"/data\"]\nCMD [\"sleep\", \"60\"]\n");
    assert_eq!(box_.inspect("v", "{{json .Config.Volumes}}"), r#"{"/data":{}}"#);
    for name in ["one", "two"] {
        box_.run(&format!("run -d --network none --name {name} v")).success();
        box_.wharf(["exec", name, "sh", "-c", &format!("echo {name} > /data/who")]).success();
    }
    let volume = |name: &str| box_.inspect(name, "{{range .Mounts}}{{.Name}}{{end}}");
    let (one, two) = (volume("one"), volume("two"));
    assert_ne!(one, two);
    for (name, volume) in [("one", &one), ("two", &two)] {
        assert!(volume.len() == 64 && volume.bytes().all(|byte| byte.is_ascii_hexdigit()), "{volume}");
        let path = box_.run(&format!("volume inspect -f {{{{.Mountpoint}}}} {volume}")).success();
        assert_eq!(std::fs::read_to_string(format!("{}/who", path.line())).unwrap().trim(), name);
    }
    box_.run("rm -f -v one two").success();
    box_.run("volume ls -q").success().prints("");
}

#[test]
fn a_volume_declared_early_hinders_no_later_step_and_starts_with_what_the_image_has() {
    let box_ = Sandbox::new();
    box_.write("log/log.txt", "from the image\n");
    box_.build(
        "v",
        "FROM busybox\nCOPY . /root/httpServer\nVOLUME /root/httpServer/log\nWORKDIR /root/httpServer\n\
         RUN echo later >> log/log.txt && chmod 640 log/log.txt\nCMD [\"cat\", \"log/log.txt\"]\n",
    );
    let seen = box_.run("run --rm --network none v").success();
    assert!(seen.stdout.starts_with("from the image\n"), "{seen}");
    box_.run("run -d --network none --name v v sleep 60").success();
    let path = box_.inspect("v", "{{range .Mounts}}{{.Source}}{{end}}");
    assert!(std::path::Path::new(&path).join("log.txt").exists());
}

#[test]
fn run_sees_the_network() {
    let box_ = Sandbox::new();
    let port = free_port();
    box_.write("index.html", "through the bridge\n");
    let mount = format!("{}:/www", box_.dir().display());
    let publish = format!("{port}:80");
    box_.wharf([
        "run", "-d", "--name", "web", "-p", &publish, "-v", &mount, "busybox", "httpd", "-f", "-h", "/www",
    ])
    .success();
    let address = box_.inspect("web", "{{.NetworkSettings.IPAddress}}");
    eventually("the web server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let dockerfile = format!("FROM busybox\nRUN wget -q -O - http://{address}/index.html\n");
    box_.build("n", &dockerfile).says("through the bridge");
    box_.write("Dockerfile", "FROM busybox\nRUN ls /sys/class/net | tr '\\n' ,\n");
    box_.run("build --network none .").success().says("lo,").without("eth0");
}
