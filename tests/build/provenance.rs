//! build --provenance: what an image was made of, beside it.

use serde_json::{Value, json};

use crate::harness::{Page, Registry, Sandbox, Web, has, host};

/// What is said about an image.
fn statement(box_: &Sandbox, image: &str) -> Value {
    box_.run(&format!("image attachment {image} provenance.json")).success().json()
}

fn sha256(file: &std::path::Path) -> String {
    host(&["sha256sum", file.to_str().unwrap()]).split(' ').next().unwrap().to_owned()
}

/// The entries of `resolvedDependencies`: their addresses with their digests.
fn materials(predicate: &Value) -> Vec<(String, Value)> {
    let listed = predicate["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
    listed.iter().map(|one| (one["uri"].as_str().unwrap().to_owned(), one["digest"].clone())).collect()
}

#[test]
fn what_went_in_is_named_by_its_digest_and_is_the_same_each_time() {
    let box_ = Sandbox::new();
    let web = Web::serve([("/a.txt", Page { headers: vec![], body: b"from the web\n".to_vec() })]);
    box_.write("extra/file", "x");
    let dockerfile = box_.write(
        "Dockerfile",
        format!(
            "FROM busybox AS made\nADD {} /a\nRUN --network=none echo $TOKEN > /made\nFROM scratch\nCOPY --from=made /made /\n\
             COPY --from=busybox /bin/busybox /b\n",
            web.url("/a.txt").replace("http://", "http://me:hidden@")
        ),
    );
    box_.run("build -t plain .").success();
    box_.run("image attachment plain").success().without("provenance.json");
    let build = "build --provenance=true --build-arg TOKEN=classified --label l=labelled -t p .";
    box_.run(build).success();
    let said = statement(&box_, "p");
    let predicate = &said["predicate"];
    assert_eq!(said["_type"], "https://in-toto.io/Statement/v0.1");
    assert_eq!(said["predicateType"], "https://slsa.dev/provenance/v1");
    let name = said["subject"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("pkg:docker/p@latest?platform=linux%2F"), "{name}");
    let found = materials(predicate);
    let hash = sha256(&box_.write("same.txt", "from the web\n"));
    let plain = web.url("/a.txt").replace("http://", "http://***@");
    assert_eq!(found[0], (plain, json!({ "sha256": hash })), "{found:?}");
    assert!(found[1].0.starts_with("pkg:docker/busybox@latest?platform=linux"), "{found:?}");
    assert_eq!(found.len(), 2);
    let definition = &predicate["buildDefinition"];
    assert_eq!(
        definition["externalParameters"]["configSource"],
        json!({ "digest": { "sha256": sha256(&dockerfile) }, "path": "Dockerfile" })
    );
    let plugins = definition["internalParameters"]["plugins"].as_array().unwrap();
    let names: Vec<&str> = plugins.iter().filter_map(|plugin| plugin["name"].as_str()).collect();
    assert_eq!(names, ["add", "copy", "from", "run"]);
    let text = said.to_string();
    for kept_out in ["classified", "labelled", "hidden", "startedOn", "invocationID", "\"steps\""] {
        assert!(!text.contains(kept_out), "{kept_out} in {text}");
    }
    let metadata = &predicate["runDetails"]["metadata"];
    assert_eq!(
        (&metadata["buildkit_hermetic"], &metadata["buildkit_reproducible"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(metadata["buildkit_completeness"], json!({ "request": false, "resolvedDependencies": false }));
    assert!(predicate["runDetails"]["builder"]["id"].as_str().unwrap().starts_with("pkg:generic/wharf@"));

    // The image is the same with and without it, and so is what is said, whatever the cache holds.
    let id = box_.inspect("p", "{{.Id}}");
    let first = box_.run("image attachment p provenance.json").success().stdout;
    box_.run(&build.replace("build ", "build --no-cache ")).success();
    assert_eq!(box_.run("image attachment p provenance.json").success().stdout, first);
    box_.run("build --build-arg TOKEN=classified --label l=labelled -t p .").success();
    assert_eq!(box_.inspect("p", "{{.Id}}"), id);
    box_.run("image attachment p").success().without("provenance.json");
}

#[test]
fn max_says_how_it_was_asked_for_and_what_plugins_read() {
    let box_ = Sandbox::new();
    box_.write("file", "content");
    box_.write("secret", "the value itself");
    box_.write(
        "Dockerfile",
        "FROM busybox AS one\nARG A\nFROM one AS two\nWORKDIR sub\nCOPY file ./\n\
         RUN --mount=type=secret,id=token --mount=type=secret,id=key,required cat /run/secrets/token > /dev/null\n",
    );
    let build = "build --secret id=token,src=secret --secret id=key,src=secret --build-arg A=given --label l=1 \
                 --target two --provenance=mode=max,builder-id=https://ci/7 --metadata-file meta.json --verify -t p .";
    box_.run(build).success();
    let said = statement(&box_, "p");
    let predicate = &said["predicate"];
    let request = &predicate["buildDefinition"]["externalParameters"]["request"];
    assert_eq!(
        *request,
        json!({
            "frontend": "dockerfile.v0",
            "args": { "target": "two", "build-arg:A": "given", "label:l": "1" },
            "secrets": [{ "id": "key" }, { "id": "token", "optional": true }],
            "ssh": [],
            "locals": [{ "name": "context" }, { "name": "dockerfile" }],
        })
    );
    let steps =
        predicate["buildDefinition"]["internalParameters"]["buildConfig"]["steps"].as_array().unwrap();
    let statements: Vec<&str> = steps.iter().filter_map(|step| step["statement"].as_str()).collect();
    assert_eq!(statements[..4], ["FROM busybox AS one", "ARG A", "FROM one AS two", "WORKDIR sub"]);
    assert_eq!(steps[2]["inputs"], json!(["step1"]));
    let questions: Vec<&str> =
        steps[3]["reads"].as_array().unwrap().iter().filter_map(|r| r["question"].as_str()).collect();
    assert!(questions.contains(&"user"), "{questions:?}");
    let details = &predicate["runDetails"];
    assert_eq!(details["builder"]["id"], "https://ci/7");
    let metadata = &details["metadata"];
    assert!(metadata["startedOn"].as_str() <= metadata["finishedOn"].as_str());
    assert_eq!(metadata["invocationID"].as_str().map(str::len), Some(64));
    assert_eq!(metadata["buildkit_reproducible"], true, "--verify found that out");
    assert!(!said.to_string().contains("the value itself"));
    let meta: Value = serde_json::from_str(&box_.read("meta.json")).unwrap();
    assert_eq!(meta["buildx.build.provenance"], *predicate);
}

#[test]
fn archives_and_files_have_it_where_it_is_looked_for() {
    let box_ = Sandbox::new();
    box_.write(
        "Dockerfile",
        "FROM busybox AS made\nRUN mkdir /out && echo 1 > /out/one\nFROM scratch\nCOPY --from=made /out /\n",
    );
    box_.run("build --attest type=provenance,mode=min -o files .").success();
    let said: Value = serde_json::from_str(&box_.read("files/provenance.json")).unwrap();
    let one = sha256(&box_.dir().join("files/one"));
    assert_eq!(said["subject"], json!([{ "name": "one", "digest": { "sha256": one } }]));
    box_.run("build --provenance=mode=min -o type=tar,dest=files.tar .").success();
    let tar = box_.dir().join("files.tar");
    let listed = host(&["tar", "-xOf", tar.to_str().unwrap(), "provenance.json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap(), said);

    box_.run("build --provenance=true -o type=oci,dest=layout,tar=false,name=x:1 .").success();
    let blob = |digest: &Value| -> Value {
        let path = digest.as_str().unwrap().replace(':', "/");
        serde_json::from_str(&box_.read(&format!("layout/blobs/{path}"))).unwrap()
    };
    let top: Value = serde_json::from_str(&box_.read("layout/index.json")).unwrap();
    assert_eq!(top["manifests"][0]["annotations"]["io.containerd.image.name"], "docker.io/library/x:1");
    let index = blob(&top["manifests"][0]["digest"]);
    let (image, beside) = (&index["manifests"][0], &index["manifests"][1]);
    assert_eq!(beside["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(beside["annotations"]["vnd.docker.reference.digest"], image["digest"]);
    assert_eq!(beside["platform"], json!({ "architecture": "unknown", "os": "unknown" }));
    let manifest = blob(&beside["digest"]);
    let statement = blob(&manifest["layers"][0]["digest"]);
    assert_eq!(statement["subject"][0]["digest"]["sha256"], image["digest"].as_str().unwrap()[7..]);
    assert_eq!(statement["predicate"], said["predicate"]);
    box_.run("build --provenance=true -o type=oci,dest=x.tar,name=x:1 .").success();
    box_.run("load -i x.tar").success().shows("x:1");
}

#[test]
fn a_base_image_has_the_digest_that_its_registry_gives_it() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    let name = registry.name("team/base:v1");
    box_.build(&name, "FROM busybox\nENV A=1\n");
    let base = || {
        box_.run("build --provenance=true -t p .").success();
        materials(&statement(&box_, "p")["predicate"]).remove(0)
    };
    box_.write("Dockerfile", format!("FROM {name}\nENV B=1\n"));
    let (address, built) = base();
    box_.run(&format!("push {name}")).success();
    let digest = box_.inspect(&name, "{{index .RepoDigests 0}}");
    let (same, pushed) = base();
    let hex = digest.split_once("@sha256:").unwrap().1;
    assert_eq!((&address, pushed["sha256"].as_str()), (&same, Some(hex)), "{digest}");
    assert!(address.starts_with("pkg:docker/") && address.contains("/team/base@v1?platform="), "{address}");
    assert_ne!(built, pushed, "its layers are packed there");
}

#[test]
fn a_pushed_image_takes_it_along() {
    let Some(registry) = Registry::start() else { return };
    if !has("skopeo") {
        return eprintln!("skipped: needs skopeo");
    }
    let box_ = Sandbox::new();
    let name = registry.name("team/app:v1");
    box_.write("Dockerfile", "FROM busybox\nRUN echo 1 > /1\n");
    let pushed = box_.run(&format!("build --provenance=true --push -t {name} .")).success();
    let out = box_.dir().join("out");
    let from = format!("docker://{name}");
    let to = format!("dir:{}", out.display());
    host(&["skopeo", "copy", "--quiet", "--all", "--src-tls-verify=false", &from, &to]);
    let read = |file: &str| -> Value { serde_json::from_str(&box_.read(&format!("out/{file}"))).unwrap() };
    let hex = |digest: &Value| digest.as_str().unwrap()[7..].to_owned();
    let index = read("manifest.json");
    let (image, beside) = (&index["manifests"][0], &index["manifests"][1]);
    assert_eq!(beside["annotations"]["vnd.docker.reference.digest"], image["digest"], "{pushed}");
    let manifest = read(&format!("{}.manifest.json", hex(&beside["digest"])));
    let said = read(&hex(&manifest["layers"][0]["digest"]));
    assert_eq!(said["subject"][0]["digest"]["sha256"], hex(&image["digest"]));
    assert_eq!(said["predicate"], statement(&box_, &name)["predicate"]);

    // Whoever pulls it gets the image.
    let digest = box_.inspect(&name, "{{index .RepoDigests 0}}");
    let other = box_.beside();
    other.set("WHARF_PULL", "missing");
    other.run(&format!("pull -q {name}")).success();
    assert_eq!(other.inspect(&name, "{{.Id}}"), box_.inspect(&name, "{{.Id}}"));
    assert_eq!(other.inspect(&name, "{{index .RepoDigests 0}}"), digest);
    // Without provenance the tag leads to the image again.
    box_.run(&format!("build --push -t {name} .")).success();
    let raw = host(&["skopeo", "inspect", "--raw", "--tls-verify=false", &from]);
    assert_eq!(serde_json::from_str::<Value>(&raw).unwrap()["mediaType"], image["mediaType"]);
}

#[test]
fn what_can_not_be_said_is_refused() {
    let box_ = Sandbox::new();
    box_.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /provenance.json\n");
    box_.run("build --provenance=true -o out .")
        .fails(1)
        .says("the result has a file provenance.json of its own");
    for (option, said) in [
        ("--provenance=mode=most", "unknown mode `most`"),
        ("--provenance=version=v0.2", "expected v1"),
        ("--attest=type=sbom", "a hook writes the list"),
        ("--attest=mode=max", "write type=provenance"),
        ("--sbom", "wharf image attachment IMAGE"),
    ] {
        box_.refuses(1, &["build", option, "."], &[said]);
    }
    box_.run("build --provenance=false --sbom=false -t x .").success();
}
