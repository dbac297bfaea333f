//! The founding document's http server: built from its Dockerfile, run, asked, looked into, stopped,
//! started, changed and removed, as the document says.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::harness::{Sandbox, eventually, free_port, get, get_patiently, repository};

const NAME: &str = "http-server-container";

/// The example, in a directory of the test's own, and its image.
fn built() -> Sandbox {
    let box_ = Sandbox::with_python();
    for file in ["http.py", "Dockerfile", "log/.gitignore"] {
        box_.write(file, std::fs::read(repository().join("examples/http-server").join(file)).unwrap());
    }
    box_.run("build -t http-server .").success();
    box_
}

/// Runs it as the document does; the answer is the port of the host.
fn serve(box_: &Sandbox) -> u16 {
    let port = free_port();
    let (mount, publish) = (volume(box_), format!("{port}:8000"));
    let id =
        box_.wharf(["run", "-id", "-v", &mount, "-p", &publish, "--name", NAME, "http-server"]).success();
    assert_eq!(id.line().len(), 64, "{id}");
    port
}

fn volume(box_: &Sandbox) -> String {
    format!("{}:/root/httpServer/log", box_.dir().join("hostlog").display())
}

#[test]
fn it_is_built_with_everything_in_its_directory_and_then_cached() {
    let box_ = built();
    assert!(box_.run("images").success().line_with("http-server").contains("latest"));
    assert_eq!(box_.in_image("http-server", "ls -A /root/httpServer"), "Dockerfile\nhttp.py\nlog\n");
    let again = box_.run("build -t http-server .").success().without("DONE");
    assert!(again.stderr.contains("CACHED"), "{again}");
    let config = box_.run("inspect http-server").success().json()[0]["Config"].clone();
    assert_eq!(config["Entrypoint"].to_string(), r#"["/bin/sh","-c","python http.py"]"#);
    assert_eq!(config["ExposedPorts"].to_string(), r#"{"8000/tcp":{}}"#);
    assert_eq!(config["Volumes"].to_string(), r#"{"/root/httpServer/log":{}}"#);
    assert_eq!(box_.inspect("http-server", "{{.Author}}"), "geebos");
}

#[test]
fn with_a_version_only_the_bare_name_is_not_found() {
    let box_ = built();
    box_.run("build -t http-server:1.0 .").success();
    box_.run("rmi http-server").success();
    box_.refuses(125, &["run", "http-server"], &["Unable to find image 'http-server:latest' locally"]);
    box_.run("run -d --name v http-server:1.0").success();
}

#[test]
fn it_runs_and_answers_and_its_log_is_on_the_host() {
    let box_ = built();
    let begin = Instant::now();
    let port = serve(&box_);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    let row = box_.run("ps").success();
    let row = row.line_with(NAME);
    assert!(row.contains("Up ") && row.contains(&format!("0.0.0.0:{port}->8000/tcp")), "{row}");
    assert_eq!(box_.inspect(NAME, "{{range .Mounts}}{{.Type}} {{end}}"), "bind ", "no anonymous volume");
    assert_eq!(box_.run("volume ls -q").stdout, "");
    assert_eq!(box_.inspect(NAME, "{{.Path}} {{json .Args}}"), r#"/bin/sh ["-c","python http.py"]"#);

    let answer = get_patiently(("127.0.0.1", port));
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nServer: docker server\r\n\r\nThe is docker server!");
    assert_eq!(box_.read("hostlog/log.txt"), "GET / HTTP/1.1\n");
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(box_.dir().join("hostlog/log.txt")).unwrap());
    assert_eq!(owner, 0);
}

#[test]
fn a_hundred_requests_at_once_are_all_answered() {
    let box_ = built();
    let port = serve(&box_);
    get_patiently(("127.0.0.1", port));
    std::thread::scope(|scope| {
        let requests: Vec<_> = (0..100).map(|_| scope.spawn(move || get(("127.0.0.1", port)))).collect();
        for request in requests {
            assert!(request.join().unwrap().unwrap().ends_with("The is docker server!"));
        }
    });
    eventually("all are written down", || box_.read("hostlog/log.txt").lines().count() == 101);
}

#[test]
fn a_shell_in_it_leaves_it_alone() {
    let box_ = built();
    let port = serve(&box_);
    let mut terminal = box_.terminal(&format!("exec -it {NAME} /bin/bash"));
    terminal.expect("httpServer#");
    terminal.line("tty; pwd");
    terminal.expect("/dev/pts/0");
    terminal.expect("/root/httpServer");
    terminal.line("sleep 30");
    std::thread::sleep(Duration::from_millis(300));
    terminal.send("\u{3}");
    terminal.expect("httpServer#");
    terminal.resize(50, 132);
    terminal.line("sleep 0.2; stty size");
    terminal.expect("50 132");
    terminal.line("exit 3");
    assert_eq!(terminal.wait(), 3);
    assert!(get_patiently(("127.0.0.1", port)).ends_with("The is docker server!"));
    box_.run(&format!("exec -it {NAME} /bin/bash")).fails(1).says("not a terminal");
}

#[test]
fn a_changed_program_makes_a_new_image_and_leaves_the_container() {
    let box_ = built();
    let port = serve(&box_);
    let old = box_.inspect("http-server", "{{.Id}}");
    let changed = box_.read("http.py").replace("The is docker server!", "A new server!");
    box_.write("http.py", changed);
    let again = box_.run("build -t http-server .").success();
    assert_ne!(old, box_.inspect("http-server", "{{.Id}}"));
    let copy = again.stderr.lines().find(|line| line.ends_with("COPY . /root/httpServer")).unwrap();
    let number = copy.split(' ').next().unwrap();
    assert!(again.stderr.contains(&format!("{number} DONE ")), "{again}");
    let short = &old.trim_start_matches("sha256:")[..12];
    assert!(box_.run("images").success().line_with(short).starts_with("<none>"));
    assert!(get_patiently(("127.0.0.1", port)).ends_with("The is docker server!"));
}

/// Python as PID 1 has no handler for SIGTERM, so the kernel gives it none.
#[test]
fn stop_waits_ten_seconds_and_start_brings_it_back() {
    let box_ = built();
    let port = serve(&box_);
    get_patiently(("127.0.0.1", port));
    let id = box_.inspect(NAME, "{{.Id}}");
    let begin = Instant::now();
    box_.run(&format!("stop {NAME}")).success().prints(&format!("{NAME}\n"));
    assert!((9.5..12.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
    std::net::TcpListener::bind(("0.0.0.0", port)).unwrap();
    assert!(box_.run("ps -a").success().line_with(NAME).contains("Exited (137)"));
    assert!(!box_.run("ps").success().stdout.contains(NAME));

    box_.run(&format!("start {NAME}")).success().prints(&format!("{NAME}\n"));
    assert!(get_patiently(("127.0.0.1", port)).ends_with("The is docker server!"));
    assert_eq!(id, box_.inspect(NAME, "{{.Id}}"));
    assert_eq!(box_.read("hostlog/log.txt").lines().count(), 2, "the log is appended to");
}

#[test]
fn the_log_survives_the_container_and_the_next_one_goes_on_with_it() {
    let box_ = built();
    let port = serve(&box_);
    get_patiently(("127.0.0.1", port));
    box_.run(&format!("rm {NAME}")).fails(1).says("stop the container before removing or force remove");
    box_.run("rmi http-server").fails(1).says("conflict");
    box_.run(&format!("rm -f {NAME}")).success();
    assert_eq!(box_.read("hostlog/log.txt"), "GET / HTTP/1.1\n");
    let port = serve(&box_);
    get_patiently(("127.0.0.1", port));
    assert_eq!(box_.read("hostlog/log.txt").lines().count(), 2);
    box_.run(&format!("rm -f {NAME}")).success();
    box_.run("rmi http-server").success().shows("Untagged: http-server:latest").shows("Deleted: sha256:");
}

/// Without `-v`, the log goes into a volume that begins with what the image has there.
#[test]
fn without_v_it_gets_a_volume_of_its_own() {
    let box_ = built();
    let port = free_port();
    box_.run(&format!("run -d -p {port}:8000 --name {NAME} http-server")).success();
    get_patiently(("127.0.0.1", port));
    let volume = box_.inspect(NAME, "{{range .Mounts}}{{.Name}}{{end}}");
    let path = box_.run(&format!("volume inspect -f {{{{.Mountpoint}}}} {volume}")).success();
    let log = Path::new(path.line());
    assert!(log.join(".gitignore").exists(), "what the image has there");
    assert_eq!(std::fs::read_to_string(log.join("log.txt")).unwrap(), "GET / HTTP/1.1\n");
}

/// The document's own line: a Windows path, and a blank that got into it.
#[test]
fn the_literal_line_of_the_document_is_explained_and_leaves_nothing() {
    let box_ = built();
    let line = "run -id -v d:/dockerTest/httpServer/log:/root/httpServer/ log -p 8000:8000 --name http-server-container http-server";
    let words: Vec<&str> = line.split(' ').collect();
    box_.refuses(125, &words, &["d:/dockerTest/httpServer/log", "Windows path", "Linux path"]);
}
