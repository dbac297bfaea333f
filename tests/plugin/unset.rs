//! `UNSET`, one of the examples: what a base image says can be taken back.

use crate::harness::Sandbox;

#[test]
fn what_is_inherited_is_taken_back() {
    let box_ = Sandbox::new().with_example("", "unset", "instruction", "grants = { ops = [\"config\"] }");
    box_.build(
        "base",
        "FROM busybox\nENV A=1 B=2\nLABEL x=1 y=2\nVOLUME /data /more\nEXPOSE 80 53/udp\nUSER 1000\n\
         ENTRYPOINT [\"/bin/false\"]\nCMD [\"x\"]\n",
    );
    box_.build(
        "u",
        "FROM base\nUNSET ENV A\nUNSET LABEL x\nUNSET VOLUME /data\nUNSET EXPOSE 80\nUNSET USER\nUNSET ENTRYPOINT\n\
         CMD [\"true\"]\n",
    );
    let config = |name: &str| box_.inspect("u", &format!("{{{{json .Config.{name}}}}}"));
    assert_eq!(config("Labels"), r#"{"y":"2"}"#);
    assert_eq!(config("Volumes"), r#"{"/more":{}}"#);
    assert_eq!(config("ExposedPorts"), r#"{"53/udp":{}}"#);
    assert!(!config("Env").contains("A=1") && config("Env").contains("B=2"));
    box_.run("run --rm --network none u").success();
    assert_eq!(box_.in_image("u", "id -u; echo ${A-unset}"), "0\nunset\n");
    let before = box_.inspect("base", "{{json .RootFS}}");
    assert_eq!(box_.inspect("u", "{{json .RootFS}}"), before, "no layer is made");

    let missing = box_.build("w", "FROM base\nUNSET ENV NOWHERE\n");
    missing.says("the image sets no variable NOWHERE");
    box_.write("Dockerfile", "FROM base\nUNSET SHELL\n");
    box_.refuses(1, &["build", "-t", "x", "."], &["Dockerfile:2", "UNSET SHELL is not known", "ENTRYPOINT"]);
}
