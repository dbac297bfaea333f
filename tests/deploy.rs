//! The founding document's way to deploy: a version a build, a container a version, and the way back.

use crate::harness::{Sandbox, free_port, get, get_patiently};

/// A server that says its version and ends at once when it is asked to.
fn build(box_: &Sandbox, version: &str) {
    box_.write("index.html", format!("server {version}\n"));
    box_.write(
        "Dockerfile",
        "FROM busybox\nWORKDIR /www\nRUN echo shared > /shared\nCOPY index.html .\nEXPOSE 8000\n\
         CMD [\"sh\", \"-c\", \"trap 'exit 0' TERM; httpd -f -p 8000 & wait\"]\n",
    );
    box_.run(&format!("build -t server:{version} .")).success();
}

fn deployed() -> (Sandbox, u16) {
    let box_ = Sandbox::new();
    let port = free_port();
    build(&box_, "v0");
    box_.run(&format!("run -d -p {port}:8000 --name server-container:v0 server:v0")).success();
    assert!(get_patiently(("127.0.0.1", port)).contains("server v0"));
    (box_, port)
}

#[test]
fn a_new_version_is_built_beside_the_old_one() {
    let box_ = Sandbox::new();
    build(&box_, "v0");
    let layers = || std::fs::read_dir(box_.root().join("storage/overlay/layer")).unwrap().count();
    let before = layers();
    build(&box_, "v1");
    let table = box_.run("images").success();
    assert!(table.stdout.contains("v0") && table.stdout.contains("v1"), "{table}");
    assert_eq!(layers(), before + 1, "only the step with the page is stored again");
}

#[test]
fn the_old_container_is_stopped_and_the_new_one_takes_its_port() {
    let (box_, port) = deployed();
    build(&box_, "v1");
    let begin = std::time::Instant::now();
    box_.run("stop server-container:v0").success().prints("server-container:v0\n");
    assert!(begin.elapsed().as_secs() < 5);
    assert!(get(("127.0.0.1", port)).is_err());
    box_.run(&format!("run -d -p {port}:8000 --name server-container:v1 server:v1")).success();
    assert!(get_patiently(("127.0.0.1", port)).contains("server v1"));

    box_.run("rm server-container:v0").success().prints("server-container:v0\n");
    box_.run("rmi server:v0").success().shows("Untagged: server:v0");
    assert!(
        get(("127.0.0.1", port)).unwrap().contains("server v1"),
        "v1 goes on, layers that it shares are kept"
    );
    box_.run("exec server-container:v1 cat /shared").success().prints("shared\n");
    let table = box_.run("ps -a").success();
    assert!(table.line_with("server-container:v1").contains("Up "), "{table}");
    assert!(!table.stdout.contains("server-container:v0"), "{table}");
}

#[test]
fn without_p_it_is_not_reachable_from_the_host() {
    let box_ = Sandbox::new();
    build(&box_, "v1");
    box_.run("run -d --name server-container:v1 server:v1").success();
    // Something else may listen there, such as the demo.
    let answered = get(("127.0.0.1", 8000));
    assert!(!answered.is_ok_and(|page| page.contains("server v1")), "it is reachable");
    assert!(!box_.run("ps").success().line_with("server:v1").contains("->"), "something is published");
    assert_eq!(box_.inspect("server-container:v1", "{{.Name}}"), "/server-container:v1");
}

#[test]
fn stop_of_an_unknown_name_says_so() {
    let (box_, port) = deployed();
    box_.refuses(1, &["stop", "server-container:v9"], &["No such container: server-container:v9"]);
    assert!(get(("127.0.0.1", port)).is_ok());
}

#[test]
fn the_way_back_needs_the_old_image_and_a_free_name() {
    let (box_, port) = deployed();
    build(&box_, "v1");
    box_.run("stop server-container:v0").success();
    box_.run(&format!("run -d -p {port}:8000 --name server-container:v1 server:v1")).success();
    box_.run("stop server-container:v1").success();

    let publish = format!("{port}:8000");
    let back = ["run", "-d", "-p", &publish, "--name", "server-container:v0", "server:v0"];
    box_.refuses(125, &back, &["Conflict", "/server-container:v0", "already in use by container"]);
    box_.run("rm server-container:v0").success();
    let begin = std::time::Instant::now();
    box_.wharf(back).success();
    assert!(begin.elapsed().as_secs_f64() < 1.0, "{:?}", begin.elapsed());
    assert!(get_patiently(("127.0.0.1", port)).contains("server v0"));

    box_.run("rm -f server-container:v0").success();
    box_.run("rmi server:v0").success();
    box_.refuses(125, &back, &["Unable to find image 'server:v0' locally"]);
}
