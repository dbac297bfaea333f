use super::*;
use wharf_model::Value;
use wharf_model::grant::{NetGrant, Right};

fn source(level: Level, text: &str) -> Source {
    let path = match level {
        Level::Defaults => "defaults.toml",
        Level::Site => "/etc/wharf/wharf.toml",
        Level::User => "user.toml",
        Level::Project => "wharf.toml",
    };
    Source { path: path.into(), text: text.into(), level }
}

const APT: &str = r#"
[engine]
storage = "vfs"

[plugin.apt]
world = "instruction"
source = "file:/usr/lib/wharf/apt.wasm"
keywords = { APT = "ACME_APT" }
grants = { ops = ["exec", "write"], net = ["sandbox"], read = ["context:debian/**", "image"] }
limits = { memory = "32MiB", fuel = 1_000, time_ms = 250 }
settings = { snapshot = "20261101T000000Z", retries = 3, quiet = true, mirrors = ["a", "b"] }

[plugin.policy]
world = "hook"
source = "embedded:policy"
required = true
phases = ["build-op:judge", "container:adjust"]

[network.back]
driver = "bridge"
subnet = "10.1.0.0/16"
gateway = "10.1.0.1"
internal = true
options = { mtu = "1400" }
"#;

#[test]
fn everything_that_can_be_said_is_read() {
    let config = Config::load(&[source(Level::User, APT)]).unwrap();
    assert_eq!((&*config.storage, &*config.network), ("vfs", "bridge"));
    let apt = config.plugin("apt").unwrap();
    assert_eq!(apt.world, World::Instruction);
    assert_eq!(apt.source, PluginSource::File("/usr/lib/wharf/apt.wasm".into()));
    assert_eq!(apt.keywords.get(&"APT".parse().unwrap()).map(Keyword::as_str), Some("ACME_APT"));
    assert_eq!(apt.grants.ops, [Right::Exec, Right::Write].into());
    assert_eq!(apt.grants.net, [NetGrant::Sandbox].into());
    assert_eq!(apt.limits, Limits { memory: 32 << 20, fuel: 1000, time: Duration::from_millis(250) });
    let settings: Vec<&str> = apt.settings.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(settings, ["mirrors", "quiet", "retries", "snapshot"]);
    assert_eq!(apt.place.to_string(), "user.toml:5");
    let policy = config.plugin("policy").unwrap();
    assert!(policy.required);
    assert_eq!(policy.phases, [(Moment::BuildOp, Phase::Judge), (Moment::Container, Phase::Adjust)]);
    let network = config.networks.first().unwrap();
    assert_eq!(network.subnet.unwrap().to_string(), "10.1.0.0/16");
    assert!(network.internal);
    assert_eq!(network.options, [("mtu".to_owned(), "1400".to_owned())]);
}

/// What is written, how the error begins, how the next step begins.
const WRONG: &[(&str, &str, &str)] = &[
    ("a =", "user.toml:1: string values must be quoted, expected literal string", ""),
    ("[engin]\n", "user.toml:1: engin: unknown key", "did you mean `engine`?"),
    ("[engine]\nstorge = \"a\"", "user.toml:2: engine.storge: unknown key", "did you mean `storage`?"),
    (
        "[engine]\nx = 1",
        "user.toml:2: engine.x: unknown key",
        "known here: storage, network, build-cache, max-parallelism, signatures, cdi",
    ),
    ("[engine]\nmax-parallelism = 0", "user.toml:2: engine.max-parallelism: expected", ""),
    ("[engine]\nstorage = 1", "user.toml:2: engine.storage: expected a string, found integer", ""),
    ("plugin = 1", "user.toml:1: plugin: expected a table, found integer", ""),
    ("[plugin.\"../x\"]", "user.toml:1: plugin.\"../x\": not a name", "use lower-case letters"),
    ("[plugin.A]", "user.toml:1: plugin.A: not a name", ""),
    ("[plugin.a]\nworld = \"hook\"", "user.toml:1: plugin.a: `source` is missing", "write `source ="),
    ("\n[plugin.a]\nsource = \"file:/a\"", "user.toml:2: plugin.a: `world` is missing", "write `world"),
    (
        "[plugin.a]\nworld = \"hok\"",
        "user.toml:2: plugin.a.world: `hok` is not known",
        "did you mean `hook`?",
    ),
    ("[plugin.a]\nsource = \"file:a\"", "user.toml:2: plugin.a.source: `a` is not an absolute path", "write"),
    ("[plugin.a]\nsource = \"http:a\"", "user.toml:2: plugin.a.source: `http:a` is not a source", "write"),
    ("[plugin.a]\ndigest = \"sha256:1\"", "user.toml:2: plugin.a.digest: `sha256:1` is not a digest", ""),
    (
        "[plugin.a]\ngrants.ops = [\"exce\"]",
        "user.toml:2: plugin.a.grants.ops: `exce` is not known",
        "did you mean `exec`?",
    ),
    ("[plugin.a.grants]\nnet = \"host\"", "user.toml:2: plugin.a.grants.net: expected a list of strings", ""),
    ("[plugin.a.grants]\nop = []", "user.toml:2: plugin.a.grants.op: unknown key", "did you mean `ops`?"),
    (
        "[plugin.a.grants]\nread = [\"host\"]",
        "user.toml:2: plugin.a.grants.read: `host` is not known",
        "known here: context",
    ),
    (
        "[plugin.a.grants]\nread = [\"context:***\"]",
        "user.toml:2: plugin.a.grants.read: `***` is not a pattern",
        "",
    ),
    (
        "[plugin.a.limits]\nmemory = \"64MB\"",
        "user.toml:2: plugin.a.limits.memory: `64MB` is not a size",
        "write `64MiB`",
    ),
    (
        "[registry.\"h.io\"]\nlocaton = \"a\"",
        "user.toml:2: registry.\"h.io\".locaton: unknown key",
        "did you mean `location`?",
    ),
    (
        "[registry.\"h.io\"]\nmirrors = [\"https://m.io\"]",
        "user.toml:2: registry.\"h.io\".mirrors: `https://m.io` is not a place",
        "write HOST",
    ),
    (
        "[registry.ubuntu]\ninsecure = true",
        "user.toml:1: registry.ubuntu: `ubuntu` is not the beginning",
        "write a registry",
    ),
    ("[engine]\nbuild-cache = \"20\"", "user.toml:2: engine.build-cache: `20` is not a size", "write `20GB`"),
    ("[plugin.a.limits]\nfuel = 0", "user.toml:2: plugin.a.limits.fuel: expected a number above 0", ""),
    (
        "[plugin.a.limits]\ntime_ms = -5",
        "user.toml:2: plugin.a.limits.time_ms: expected a number above 0",
        "",
    ),
    ("[plugin.a]\nphases = [\"judge\"]", "user.toml:2: plugin.a.phases: `judge` has no phase", "write"),
    (
        "[plugin.a]\nphases = [\"build-op:jugde\"]",
        "user.toml:2: plugin.a.phases: `jugde` is not known",
        "did you mean `judge`?",
    ),
    ("[plugin.a]\nkeywords = { A = \"1\" }", "user.toml:2: plugin.a.keywords.A: `1` is not a keyword", ""),
    (
        "[plugin.a]\nsettings = { x = 1.5 }",
        "user.toml:2: plugin.a.settings.x: a setting can not be a float",
        "a setting is",
    ),
    ("[plugin.a]\nsettings = { x = [1] }", "user.toml:2: plugin.a.settings.x: expected a string", ""),
    (
        "[plugin.a]\ntrust = \"full\"",
        "user.toml:2: plugin.a.trust: `full` is not known",
        "known here: sandboxed, native-full",
    ),
    ("[network.a]\n", "user.toml:1: network.a: `driver` is missing", "name a network plugin"),
    (
        "[network.a]\ndriver = \"b\"\nsubnet = \"1.2.3.4\"",
        "user.toml:3: network.a.subnet: `1.2.3.4` is not an address",
        "",
    ),
    (
        "[plugin.a]\nworld = \"instruction\"\nsource = \"file:/a\"\ntrust = \"native-full\"",
        "user.toml:1: plugin.a.digest: a native library",
        "write `digest",
    ),
    (
        "[plugin.a]\nworld = \"instruction\"\nsource = \"file:/a\"\nrequired = true",
        "user.toml:1: plugin.a.required: is for hooks only",
        "remove",
    ),
    (
        "[plugin.a]\nworld = \"instruction\"\nsource = \"file:/a\"\nworld = \"hook\"",
        "user.toml:4: duplicate key",
        "",
    ),
];

#[test]
fn every_error_names_file_line_and_key() {
    for (text, message, help) in WRONG {
        let error = Config::load(&[source(Level::User, text)]).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}\n   for {text}");
        assert!(
            error.next_step().unwrap_or_default().starts_with(help),
            "{:?}\n   for {text}",
            error.next_step()
        );
    }
}

#[test]
fn a_later_file_amends_and_a_source_defines_anew() {
    let amended = source(Level::User, "[plugin.apt]\nsettings.retries = 5\ngrants.net = []\n");
    let config = Config::load(&[amended, source(Level::Site, APT)]).unwrap();
    let apt = config.plugin("apt").unwrap();
    assert_eq!(apt.settings.iter().find(|(key, _)| key == "retries").unwrap().1, Value::Integer(5));
    assert_eq!(apt.settings.len(), 4);
    assert_eq!((apt.grants.ops.len(), apt.grants.net.len()), (2, 0));

    let replaced = source(Level::User, "[plugin.apt]\nsource = \"file:/mine.wasm\"\n");
    let config = Config::load(&[source(Level::Site, APT), replaced]).unwrap();
    let apt = config.plugin("apt").unwrap();
    assert_eq!(apt.source, PluginSource::File("/mine.wasm".into()));
    assert_eq!((apt.world, &apt.grants), (World::Instruction, &Grants::default()));
    assert!(apt.settings.is_empty());
}

#[test]
fn a_plugin_can_be_switched_off_unless_it_is_required() {
    let off = |name: &str| source(Level::User, &format!("[plugin.{name}]\nenabled = false\n"));
    let config = Config::load(&[source(Level::Site, APT), off("apt")]).unwrap();
    assert!(config.plugin("apt").is_none());
    let error = Config::load(&[source(Level::Site, APT), off("policy")]).unwrap_err();
    let words = "user.toml:1: plugin.policy: is required by /etc/wharf/wharf.toml:13";
    assert_eq!(error.to_string(), words);
}

#[test]
fn what_is_required_and_switched_off_can_be_switched_on() {
    let off = APT.replace("required = true", "required = true\nenabled = false");
    let on = source(Level::User, "[plugin.policy]\nenabled = true\nsettings.strict = true\n");
    assert!(Config::load(&[source(Level::Site, &off)]).unwrap().plugin("policy").is_none());
    let config = Config::load(&[source(Level::Site, &off), on]).unwrap();
    assert!(config.plugin("policy").unwrap().required);
    let project = source(Level::Project, "[plugin.policy]\nenabled = true\n");
    let config = Config::load(&[source(Level::Site, &off), project]).unwrap();
    assert!(config.plugin("policy").is_none());
    assert_eq!(config.requests.len(), 1, "a project may ask for it");
}

#[test]
fn tables_in_settings_get_names_with_dots_and_a_list_is_replaced_whole() {
    let rules = |level, prefixes: &[&str]| {
        let rules =
            prefixes.iter().map(|prefix| format!("[[plugin.apt.settings.rule]]\nprefix = \"{prefix}\"\n"));
        source(level, &format!("[plugin.apt.settings]\nmirror.main = \"m\"\n{}", rules.collect::<String>()))
    };
    let names = |sources: &[Source]| {
        let config = Config::load(sources).unwrap();
        let settings = &config.plugin("apt").unwrap().settings;
        settings.iter().map(|(name, _)| name.clone()).filter(|name| name.contains('.')).collect::<Vec<_>>()
    };
    let (site, two) = (source(Level::Site, APT), rules(Level::Site, &["a", "b"]));
    assert_eq!(names(&[site.clone(), two.clone()]), ["mirror.main", "rule.0.prefix", "rule.1.prefix"]);
    assert_eq!(names(&[site, two, rules(Level::User, &["c"])]), ["mirror.main", "rule.0.prefix"]);
}

#[test]
fn a_project_narrows_and_asks() {
    let project = r#"
[engine]
storage = "evil"
[plugin.apt]
grants.ops = ["exec", "exec-insecure"]
grants.net = []
limits.fuel = 5
limits.memory = "1GiB"
settings.mirror = "evil.example"
[plugin.policy]
enabled = false
required = false
[plugin.mine]
world = "hook"
source = "file:/tmp/x.wasm"
[network.evil]
driver = "host"
[registry."docker.io"]
location = "evil.example"
"#;
    let config = Config::load(&[source(Level::Site, APT), source(Level::Project, project)]).unwrap();
    assert_eq!(config.storage, "vfs");
    let apt = config.plugin("apt").unwrap();
    assert_eq!(apt.grants.ops, [Right::Exec].into());
    assert!(apt.grants.net.is_empty());
    assert_eq!((apt.limits.fuel, apt.limits.memory), (5, 32 << 20));
    assert!(!apt.settings.iter().any(|(key, _)| key == "mirror"));
    assert!(config.plugin("policy").unwrap().required);
    assert!(config.plugin("mine").is_none());
    assert_eq!(config.networks.len(), 1);
    assert!(config.registries.is_empty());
    let requests: Vec<(String, &str)> =
        config.requests.iter().map(|request| (request.place.to_string(), &*request.grant)).collect();
    assert_eq!(
        requests,
        [
            ("wharf.toml:3".into(), "engine.storage = \"evil\""),
            ("wharf.toml:16".into(), "network.evil = { driver = \"host\" }"),
            ("wharf.toml:18".into(), "registry.\"docker.io\" = { location = \"evil.example\" }"),
            ("wharf.toml:5".into(), "plugin.apt.grants.ops = [\"exec\", \"exec-insecure\"]"),
            ("wharf.toml:8".into(), "plugin.apt.limits.memory = \"1GiB\""),
            ("wharf.toml:9".into(), "plugin.apt.settings.mirror = \"evil.example\""),
            ("wharf.toml:12".into(), "plugin.policy.required = false"),
            ("wharf.toml:11".into(), "plugin.policy.enabled = false"),
            ("wharf.toml:13".into(), "plugin.mine = { source = \"file:/tmp/x.wasm\", world = \"hook\" }"),
        ]
    );
}

#[test]
fn no_project_says_where_devices_are_described() {
    let engine = |level, path: &str| source(level, &format!("[engine]\ncdi = [\"/etc/cdi\", \"{path}\"]\n"));
    let site = engine(Level::Site, "/run/cdi");
    let config = Config::load(&[site, engine(Level::Project, "/home/evil")]).unwrap();
    assert_eq!(config.cdi.unwrap(), ["/etc/cdi", "/run/cdi"].map(PathBuf::from));
    assert_eq!(config.requests[0].grant, "engine.cdi = [\"/etc/cdi\", \"/home/evil\"]");
    let wrong = Config::load(&[engine(Level::Site, "cdi")]).unwrap_err();
    assert!(wrong.to_string().contains("engine.cdi: `cdi` is not an absolute path"), "{wrong}");
}

#[test]
fn a_project_may_switch_off_an_instruction() {
    let project = source(Level::Project, "[plugin.apt]\nenabled = false\n");
    let config = Config::load(&[source(Level::Site, APT), project]).unwrap();
    assert!(config.plugin("apt").is_none());
}

#[test]
fn plugins_keep_the_order_in_which_they_are_written() {
    let text: String = ["z", "a", "m"]
        .map(|name| format!("[plugin.{name}]\nworld = \"hook\"\nsource = \"file:/{name}\"\n"))
        .concat();
    let config = Config::load(&[source(Level::User, &text)]).unwrap();
    let names: Vec<&str> = config.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["z", "a", "m"]);
}

#[test]
fn a_file_that_is_not_there_is_no_error() {
    let temp = tempfile::tempdir().unwrap();
    assert!(Source::read(&temp.path().join("none"), Level::User).unwrap().is_none());
    assert!(matches!(Source::read(temp.path(), Level::User), Err(ConfigError::Read { .. })));
}

/// A project's file and the user's approval of it.
fn approved(project: &str, digest: Digest, lines: &str) -> Result<Config, ConfigError> {
    let user = format!("{APT}\n[project.\"/work\"]\ndigest = \"{digest}\"\napproved = [{lines}]\n");
    let project = Source { path: "/work/wharf.toml".into(), text: project.into(), level: Level::Project };
    Config::load(&[source(Level::User, &user), project])
}

#[test]
fn what_the_user_approved_holds_for_that_file_only() {
    let project = "[plugin.apt]\ngrants.ops = [\"exec\", \"http\"]\nlimits.fuel = 5000\n";
    let line = "'plugin.apt.grants.ops = [\"exec\", \"http\"]'";
    let config = approved(project, Digest::of(project), line).unwrap();
    assert_eq!(config.plugin("apt").unwrap().grants.ops, [Right::Exec, Right::Http].into());
    let left: Vec<&str> = config.requests.iter().map(|request| &*request.key).collect();
    assert_eq!(left, ["plugin.apt.limits.fuel"], "what was not approved is still asked for");

    let changed = format!("# x\n{project}");
    let config = approved(&changed, Digest::of(project), line).unwrap();
    assert_eq!(config.plugin("apt").unwrap().grants.ops, [Right::Exec].into());
    assert_eq!(config.requests.len(), 2);
    let elsewhere = Source { path: "/other/wharf.toml".into(), text: project.into(), level: Level::Project };
    let user =
        format!("{APT}\n[project.\"/work\"]\ndigest = \"{}\"\napproved = [{line}]\n", Digest::of(project));
    let config = Config::load(&[source(Level::User, &user), elsewhere]).unwrap();
    assert_eq!(config.requests.len(), 2);
}

#[test]
fn each_table_of_a_list_is_asked_for_by_its_number() {
    let project =
        "[[plugin.apt.settings.rule]]\nprefix = \"a\"\n[[plugin.apt.settings.rule]]\nprefix = \"b\"\n";
    let lines = ["plugin.apt.settings.rule.0.prefix = \"a\"", "plugin.apt.settings.rule.1.prefix = \"b\""];
    let asked = approved(project, Digest::of(project), "").unwrap().requests;
    assert_eq!(asked.iter().map(|request| &*request.grant).collect::<Vec<_>>(), lines);
    let all = format!("'{}', '{}'", lines[0], lines[1]);
    let config = approved(project, Digest::of(project), &all).unwrap();
    assert!(config.requests.is_empty());
    let settings = &config.plugin("apt").unwrap().settings;
    for (name, value) in [("rule.0.prefix", "a"), ("rule.1.prefix", "b")] {
        assert!(settings.contains(&(name.to_owned(), Value::Text(value.into()))), "{settings:?}");
    }
}

#[test]
fn a_project_s_plugin_is_the_user_s_once_it_is_approved() {
    let project = "\n[plugin.mine]\nworld = \"hook\"\nsource = \"file:./x.wasm\"\n";
    let line = "plugin.mine = { source = \"file:./x.wasm\", world = \"hook\" }";
    let config = approved(project, Digest::of(project), &format!("'{line}'")).unwrap();
    let mine = config.plugin("mine").unwrap();
    assert_eq!(mine.source, PluginSource::File("/work/x.wasm".into()));
    assert_eq!(mine.place.to_string(), "/work/wharf.toml:2", "where the project has it");
    let own = format!("[project.\"/work\"]\ndigest = \"{}\"\napproved = []\n", Digest::of("x"));
    let error = approved(&own, Digest::of("x"), "").unwrap_err();
    assert!(error.to_string().contains("a project can not approve of itself"), "{error}");
}

#[test]
fn a_lock_says_what_a_definition_has_to_be() {
    let pin = Pin {
        source: "file:/usr/lib/wharf/apt.wasm".into(),
        digest: Digest::of("apt"),
        world: World::Instruction,
        version: String::new(),
        keywords: ["ACME_APT".parse().unwrap()].into(),
        grants: crate::rights::words(&Config::load(&[source(Level::User, APT)]).unwrap().plugins[0].grants),
    };
    let lock = |pin: Pin| Lock { path: "user.lock".into(), pins: [("apt".to_owned(), pin)].into() };
    let load = |lock: Lock| {
        let config = Config::load_locked(&[source(Level::User, APT)], &[lock]).unwrap();
        config.plugin("apt").unwrap().clone()
    };
    let fits = load(lock(pin.clone()));
    assert_eq!(fits.digest, Some(Digest::of("apt")), "the lock gives the digest");
    assert!(fits.pin.unwrap().mismatch.is_none());
    let narrower = Pin { grants: ["ops:exec".to_owned()].into(), ..pin.clone() };
    let mismatch = load(lock(narrower)).pin.unwrap().mismatch.unwrap();
    let words = "grants: user.toml:5 says net:sandbox, ops:exec, ops:write, read:context:debian/**, read:image, \
                 and user.lock says ops:exec";
    assert_eq!(mismatch.to_string(), words);
    let other = Lock { path: "/etc/wharf/wharf.lock".into(), ..lock(pin) };
    assert!(load(other).pin.is_none(), "the lock of another file");
}

#[test]
fn a_later_file_says_where_images_are() {
    let site = "[registry.\"docker.io\"]\nmirrors = [\"m.example/hub\"]\n[registry.\"h.io:5000\"]\nplain-http = true\n";
    let user = "[registry.\"docker.io\"]\nlocation = \"mine.example\"\ninsecure = true\n";
    let config = Config::load(&[source(Level::Site, site), source(Level::User, user)]).unwrap();
    let found = |prefix: &str| config.registries.iter().find(|route| route.prefix == prefix).unwrap();
    assert_eq!((found("h.io:5000").plain_http, found("docker.io").plain_http), (Some(true), None));
    assert_eq!(
        (found("docker.io").location.as_deref(), found("docker.io").insecure),
        (Some("mine.example"), true)
    );
    assert!(found("docker.io").mirrors.is_empty(), "a table is replaced whole");
}
