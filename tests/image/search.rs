//! search: in a registry that only lists names, and in one that speaks as docker's index does.

use crate::harness::{Asked, Page, Registry, Sandbox, Tokens, Web};

fn push(box_: &Sandbox, name: &str) {
    box_.run(&format!("tag busybox {name}")).success();
    box_.run(&format!("push -q {name}")).success();
}

#[test]
fn a_registry_without_a_search_is_looked_through_by_name() {
    let Some(registry) = Registry::start() else { return };
    let box_ = Sandbox::new();
    for name in ["team/app", "team/tool", "application", "other"] {
        push(&box_, &registry.name(&format!("{name}:v1")));
    }
    let address = registry.address();
    let found = box_.run(&format!("search {address}/app")).success();
    assert_eq!(found.stdout.lines().next().unwrap().split_whitespace().count(), 4, "{found}");
    let found = found.shows("NAME").shows("DESCRIPTION").shows("STARS").shows("OFFICIAL");
    let names: Vec<&str> = found.stdout.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, [registry.name("application"), registry.name("team/app")]);
    // What is found can be pulled as it is printed.
    let name = box_.run(&format!("search --format {{{{.Name}}}} --limit 1 {address}/TEAM/app")).success();
    box_.set("WHARF_PULL", "missing");
    box_.run(&format!("pull -q {}:v1", name.line())).success();
    let limited = box_.run(&format!("search --limit 2 --format {{{{.Name}}}} {address}/")).success();
    assert_eq!(limited.stdout.lines().count(), 2);
    box_.run(&format!("search --format {{{{.Name}}}} {address}/nothing-like-it")).success().prints("");
    // Nobody has given it stars, and nobody says that it is official.
    box_.run(&format!("search -f stars=1 --format {{{{.Name}}}} {address}/app")).success().prints("");
    box_.run(&format!("search -f is-official=true --format {{{{.Name}}}} {address}/app"))
        .success()
        .prints("");

    box_.refuses(1, &["search", "--limit", "101", "x"], &["limit 101 is outside the range of [1, 100]"]);
    box_.refuses(1, &["search", "-f", "size=3", "x"], &["invalid filter `size`", "stars"]);
    box_.refuses(1, &["search", "-f", "stars=many", "x"], &["stars=many", "expected a number"]);
    box_.refuses(1, &["search", "https://registry.example/x"], &["has a scheme"]);
    box_.refuses(1, &["search", "127.0.0.1:1/x"], &["cannot look through 127.0.0.1:1", "cannot reach"]);
}

#[test]
fn a_registry_that_asks_who_it_is_lists_nothing_to_others() {
    let Some(registry) = Registry::start_as(Asked { password: true, ..Asked::default() }) else { return };
    let Some((tokens, _behind)) = Tokens::start() else { return };
    let box_ = Sandbox::new();
    for address in [registry.address(), tokens.address()] {
        let term = format!("{address}/app");
        box_.refuses(1, &["search", &term], &["cannot look through", "denied", "wharf login"]);
        box_.wharf_with(["login", "-u", "sailor", "--password-stdin", &address], b"ahoy\n").success();
        push(&box_, &format!("{address}/team/app:v1"));
        let found = box_.run(&format!("search --format {{{{.Name}}}} {term}")).success();
        found.prints(&format!("{address}/team/app\n"));
    }
    let asked = tokens.asked();
    assert!(asked.contains(&"sailor:ahoy: registry:catalog:*".to_owned()), "{asked:?}");
}

/// As docker's index answers.
const ANSWER: &str = r#"{"num_results":3,"query":"app","results":[
  {"name":"app","description":"The one that everybody means when they say that they want an app","star_count":7,"is_official":true,"is_automated":false},
  {"name":"team/app","description":"two\nlines","star_count":40,"is_official":false},
  {"name":"evil/app","description":"\u001b[2Jgone","star_count":0,"is_official":false}]}"#;

#[test]
fn an_index_is_searched_as_docker_does_it() {
    let page = || Page { body: ANSWER.into(), ..Page::default() };
    let web = Web::serve([
        ("/v1/search?q=app&n=25", page()),
        ("/v1/search?q=app&n=2", page()),
        ("/v1/search?q=an+app&n=25", page()),
    ]);
    let address = web.url("").trim_start_matches("http://").to_owned();
    let box_ = Sandbox::new();
    let term = format!("{address}/app");
    let found = box_.run(&format!("search {term}")).success();
    let lines: Vec<&str> = found.stdout.lines().collect();
    assert!(
        lines[1].starts_with(&format!("{address}/team/app")) && lines[1].contains("two lines"),
        "{found}"
    );
    assert!(lines[2].contains("The one that everybody means when they say t…"), "{found}");
    assert!(lines[2].trim_end().ends_with("7       [OK]"), "{found}");
    assert!(!found.stdout.contains('\u{1b}'), "{found}");
    box_.run(&format!("search --no-trunc {term}")).success().shows("that they want an app");
    let row = "{{.Name}}:{{.StarCount}}:{{.IsOfficial}}";
    let row = |options: &[&str]| {
        box_.wharf([&["search", "--format", row], options, &[&term]].concat()).success().stdout
    };
    let (team, own) = (format!("{address}/team/app:40:\n"), format!("{address}/app:7:[OK]\n"));
    assert_eq!(row(&["-f", "stars=7"]), team.clone() + &own);
    assert_eq!(row(&["--filter", "stars=7", "--filter", "is-official=true"]), own);
    assert_eq!(row(&["-f", "is-official=false", "-f", "stars=1"]), team);
    assert_eq!(row(&["--limit", "2"]), team.clone() + &own);
    let json = box_.run(&format!("search --format json -f stars=40 {term}")).success();
    let told: serde_json::Value = serde_json::from_str(json.line()).unwrap();
    assert_eq!((&told["StarCount"], &told["Description"]), (&"40".into(), &"two lines".into()));
    box_.wharf(["search", &format!("{address}/an app")]).success();
    let answers = web.answers();
    assert!(answers.iter().all(|answer| answer.starts_with("200 /v1/search?")), "{answers:?}");
}
