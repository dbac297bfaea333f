//! Plugins from the outside: whole components, well-behaved and hostile.

mod caching;
mod conformance;
mod contract;
mod corpus;
mod hostile;
mod names;
mod native;
mod outside;
mod prebuilt;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use wharf_model::Span;
use wharf_model::build::Outcome;
use wharf_model::statement::{Body, Invocation};

use crate::testing::Fixed;
use crate::{Config, Event, Instruction, Level, PluginError, Plugins, Source};

/// What every test module begins with: memory, a bump allocator and the keyword `HELLO`.
const INSTRUCTION: &str = r#"
  (import "wharf:plugin/build-context@0.1.0" "[method]context.arg" (func $arg (param i32 i32 i32 i32)))
  (import "wharf:plugin/build-context@0.1.0" "[resource-drop]context" (func $drop (param i32)))
  (import "wharf:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32 i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  ;; 16: one keyword-spec {"HELLO", "", text}; 0: the list of it; 4096: zeroes, which are `ok`
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 16) "\40\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 64) "HELLO")
  (data (i32.const 80) "debug")
  (data (i32.const 96) "about to fail")
  (data (i32.const 112) "VERSION")
  ;; 2048: the manifest {"hello", "1.2", "", requests}
  (data (i32.const 2048) "\40\08\00\00\05\00\00\00\50\08\00\00\03\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (data (i32.const 2112) "hello")
  (data (i32.const 2128) "1.2")
  (func (export "wharf:plugin/about@0.1.0#introduce") (result i32) i32.const 2048)
  ;; It requests `ops:expand` and `ops:exec`.
  (data (i32.const 2072) "\80\08\00\00\02\00\00\00")
  (data (i32.const 2176) "\a0\08\00\00\0a\00\00\00\c0\08\00\00\04\00\00\00")
  (data (i32.const 2192) "\b0\08\00\00\08\00\00\00\c0\08\00\00\04\00\00\00")
  (data (i32.const 2208) "ops:expand")
  (data (i32.const 2224) "ops:exec")
  (data (i32.const 2240) "test")
  (func (export "wharf:plugin/instruction@0.1.0#describe") (result i32) i32.const 0)
  (func (export "wharf:plugin/instruction@0.1.0#validate-settings") (param i32 i32) (result i32)
    i32.const 4096)
  (func $say (call $log (i32.const 80) (i32.const 5) (i32.const 96) (i32.const 13)))
  (func $done (param $call i32) (call $drop (i32.load offset=76 (local.get $call))))
"#;

/// The same for hooks; it subscribes to `container:judge`, imports `remote` and asks for an address.
const HOOK: &str = r#"
  (import "wharf:plugin/remote@0.1.0" "call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "wharf:plugin/image-files@0.1.0" "[method]files.stat" (func $stat (param i32 i32 i32 i32)))
  (import "wharf:plugin/image-files@0.1.0" "[resource-drop]files" (func $drop (param i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (data (i32.const 2304) "token-1")
  (data (i32.const 2320) "GET")
  (data (i32.const 2336) "https://ipam.example/v1/leases")
  (data (i32.const 2400) "etc/passwd")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 16) "\02\01")
  ;; 2048: the manifest {"hello", "1.2", "", requests}; 2144: the requests, each for "test"
  (data (i32.const 2048) "\40\08\00\00\05\00\00\00\50\08\00\00\03\00\00\00\00\00\00\00\00\00\00\00\60\08\00\00\03\00\00\00")
  (data (i32.const 2112) "hello")
  (data (i32.const 2128) "1.2")
  (data (i32.const 2144) "\a0\08\00\00\09\00\00\00\f0\08\00\00\04\00\00\00")
  (data (i32.const 2160) "\b0\08\00\00\0a\00\00\00\f0\08\00\00\04\00\00\00")
  (data (i32.const 2176) "\c0\08\00\00\1f\00\00\00\f0\08\00\00\04\00\00\00")
  (data (i32.const 2208) "ops:judge")
  (data (i32.const 2224) "read:image")
  (data (i32.const 2240) "remote:https://ipam.example/v1/")
  (data (i32.const 2288) "test")
  (func (export "wharf:plugin/about@0.1.0#introduce") (result i32) i32.const 2048)
  (func (export "wharf:plugin/hook@0.1.0#describe") (result i32) i32.const 0)
  (func (export "wharf:plugin/hook@0.1.0#validate-settings") (param i32 i32) (result i32) i32.const 4096)
  (func (export "wharf:plugin/hook@0.1.0#adjust") (param i32) (result i32) i32.const 4096)
  (func (export "wharf:plugin/hook@0.1.0#observe") (param i32))
"#;

/// A plan without anything in it.
const NOTHING: &str = "(call $done (local.get 0)) (i32.const 4096)";

/// A component whose `plan-instruction` has this body.
fn instruction(body: &str) -> Vec<u8> {
    let plan = format!(
        "(func $plan (export \"wharf:plugin/instruction@0.1.0#plan-instruction\") (param i32) (result i32) {body})"
    );
    let core = format!("{INSTRUCTION}{plan}");
    wat::parse_str(include_str!("tests/instruction.wat").replace("CORE)", &format!("{core})"))).unwrap()
}

/// A component whose `judge` has this body.
fn hook(body: &str) -> Vec<u8> {
    let judge =
        format!("(func $judge (export \"wharf:plugin/hook@0.1.0#judge\") (param i32) (result i32) {body})");
    let core = format!("{HOOK}{judge}");
    wat::parse_str(include_str!("tests/hook.wat").replace("CORE)", &format!("{core})"))).unwrap()
}

/// A directory with plugins in it and a configuration that names them.
struct Shelf {
    temp: TempDir,
    toml: String,
    events: Arc<Mutex<Vec<String>>>,
}

impl Shelf {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap(), toml: String::new(), events: Arc::default() }
    }

    /// Adds `[plugin.<name>]` with further lines.
    fn add(&mut self, name: &str, world: &str, bytes: &[u8], lines: &str) -> PathBuf {
        let path = self.temp.path().join(format!("{name}.wasm"));
        std::fs::write(&path, bytes).unwrap();
        let source = format!("file:{}", path.display());
        self.toml += &format!("[plugin.{name}]\nworld = {world:?}\nsource = {source:?}\n{lines}\n");
        path
    }

    fn cache(&self) -> PathBuf {
        self.temp.path().join("cache")
    }

    fn plugins(&self) -> Plugins {
        let source = Source { path: "wharf.toml".into(), text: self.toml.clone(), level: Level::User };
        let config = Config::load(&[source]).unwrap();
        let events = Arc::clone(&self.events);
        Plugins::load(config, &self.cache(), &[]).unwrap().on_event(move |event| {
            let line = match event {
                Event::Compiling { plugin, .. } => format!("compiling {plugin}"),
                Event::Compiled { plugin, .. } => format!("compiled {plugin}"),
                Event::Log { plugin, level, message } => format!("{plugin} {level}: {message}"),
                Event::Diagnostic { plugin, diagnostic } => format!("{plugin}: {}", diagnostic.message),
                Event::Denied { plugin, right } => format!("{plugin} was denied {right}"),
                Event::Called { .. } => return,
            };
            events.lock().unwrap().push(line);
        })
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

/// One plugin whose `plan-instruction` has this body.
fn shelf(body: &str, lines: &str) -> Shelf {
    let mut shelf = Shelf::new();
    shelf.add("hello", "instruction", &instruction(body), lines);
    shelf
}

fn statement(keyword: &str) -> Invocation {
    Invocation {
        keyword: keyword.parse().unwrap(),
        flags: vec![],
        body: Body::Text("world".into()),
        heredocs: vec![],
        span: Span { file: "Dockerfile".into(), line: 1, column: 1, end_line: 1, end_column: 12 },
        stage: None,
    }
}

fn owner(plugins: &Plugins, keyword: &str) -> Result<Arc<dyn Instruction>, PluginError> {
    plugins.instruction(&keyword.parse().unwrap()).expect("somebody has the keyword")
}

fn plan(plugins: &Plugins) -> Result<Outcome, PluginError> {
    let mut fixed = Fixed { args: BTreeMap::from([("VERSION".into(), "1.2".into())]), ..Fixed::default() };
    owner(plugins, "HELLO")?.plan(&statement("HELLO"), &mut fixed)
}

/// The one directory of compiled code below a cache.
fn compiled(cache: &Path) -> PathBuf {
    std::fs::read_dir(cache).unwrap().next().unwrap().unwrap().path()
}
