//! Looking for images in a registry.
//!
//! | | asked | tells |
//! |---|---|---|
//! | docker's index, and whoever speaks as it does | `/v1/search?q=...&n=...` | names, descriptions, stars, what is official |
//! | any other registry that lists what it has | `/v2/_catalog`, page by page | names |
//!
//! The second one has no search: the names come here, and those that hold the text are taken. It is asked
//! when the first one gives no answer of its kind, as most registries do not.

use std::sync::Arc;

use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;
use wharf_model::Reference;

use super::document::LIMIT;
use super::endpoint::{DOCKER, DOCKER_HOST, Endpoint};
use super::error::RegistryError;
use super::payload::Payload;
use super::pull::{PullError, runtime};
use super::session::{Call, Session, body};
use super::tags::{PAGE, PAGES, next_page};

/// Where docker's registry is looked through.
const INDEX_HOST: &str = "index.docker.io";
/// What a token for the list of all names must allow.
const SCOPE: &str = "registry:catalog:*";

/// An image that a registry has, as far as it tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hit {
    /// By which it can be pulled; without a tag.
    pub name: String,
    /// What somebody wrote about it.
    pub description: String,
    /// How many people like it.
    pub stars: u64,
    /// Whether the registry's own people keep it.
    pub official: bool,
}

#[derive(Debug, Deserialize)]
struct Index {
    results: Vec<Listed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    name: String,
    description: Option<String>,
    star_count: u64,
    is_official: bool,
}

#[derive(Debug, Deserialize)]
struct Catalog {
    /// Some registries write `null` for none.
    repositories: Option<Vec<String>>,
}

/// At most so many images of a registry, by host and port, whose names or descriptions hold a text; those
/// with the most stars first.
///
/// # Errors
/// When the registry neither searches nor lists what it has.
pub fn search(
    session: &Arc<Session>,
    registry: &str,
    term: &str,
    most: usize,
) -> Result<Vec<Hit>, PullError> {
    let mut endpoint = session.registry(registry)?;
    if endpoint.base.host_str() == Some(DOCKER_HOST) && endpoint.base.set_host(Some(INDEX_HOST)).is_err() {
        return Err(damaged(&endpoint, "it has no address").into());
    }
    let runtime = runtime()?;
    let searched = runtime.block_on(session.search_index(&endpoint, term, most));
    let mut hits = match searched {
        Ok(Some(hits)) => hits,
        Ok(None) if is_docker(&endpoint) => {
            return Err(damaged(&endpoint, "it is no answer to a search").into());
        }
        Ok(None) => runtime.block_on(session.search_catalog(&endpoint, term, most))?,
        Err(error) => return Err(error.into()),
    };
    hits.retain_mut(|hit| match called(registry, &endpoint.repository, &hit.name) {
        Some(name) => {
            hit.name = name;
            true
        }
        None => false,
    });
    hits.sort_by_key(|hit| std::cmp::Reverse(hit.stars));
    hits.truncate(most);
    Ok(hits)
}

impl Session {
    /// `None` when the registry does not search.
    async fn search_index(
        &self,
        endpoint: &Endpoint,
        term: &str,
        most: usize,
    ) -> Result<Option<Vec<Hit>>, RegistryError> {
        let mut url = endpoint.base.clone();
        url.set_path("/v1/search");
        url.query_pairs_mut().append_pair("q", term).append_pair("n", &most.to_string());
        let call = call(endpoint, url);
        let response = match self.send(&call).await {
            Ok(response) => response,
            Err(error) if !is_docker(endpoint) && is_no_search(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = body(&call, response, LIMIT, self.patience.stall).await?;
        // Whatever else is at that address, such as a page for people, is no search.
        let Ok(index) = serde_json::from_slice::<Index>(&text) else { return Ok(None) };
        let hit = |listed: Listed| Hit {
            name: listed.name,
            description: listed.description.unwrap_or_default(),
            stars: listed.star_count,
            official: listed.is_official,
        };
        let named = index.results.into_iter().filter(|listed| is_name(&listed.name));
        Ok(Some(named.map(hit).collect()))
    }

    async fn search_catalog(
        &self,
        endpoint: &Endpoint,
        term: &str,
        most: usize,
    ) -> Result<Vec<Hit>, RegistryError> {
        let term = term.to_lowercase();
        let mut url = endpoint.base.clone();
        url.set_path("/v2/_catalog");
        url.query_pairs_mut().append_pair("n", PAGE);
        let mut hits: Vec<Hit> = Vec::new();
        for _ in 0..PAGES {
            let call = call(endpoint, url.clone());
            let response = self.send(&call).await?;
            let next = next_page(&url, &response);
            let text = body(&call, response, LIMIT, self.patience.stall).await?;
            let page: Catalog = serde_json::from_slice(&text)
                .map_err(|error| damaged(endpoint, &format!("it is no list of names: {error}")))?;
            let names = page.repositories.unwrap_or_default().into_iter();
            let found = names.filter(|name| is_name(name) && name.contains(&term));
            hits.extend(found.map(|name| Hit { name, ..Hit::default() }));
            match next.filter(|_| hits.len() < most) {
                Some(next) => url = next,
                None => return Ok(hits),
            }
        }
        Err(damaged(endpoint, "it has no end"))
    }
}

/// It has no list of all names.
fn is_docker(endpoint: &Endpoint) -> bool {
    endpoint.base.host_str() == Some(INDEX_HOST)
}

fn call(endpoint: &Endpoint, url: Url) -> Call<'_> {
    static SCOPES: std::sync::LazyLock<[String; 1]> = std::sync::LazyLock::new(|| [SCOPE.to_owned()]);
    Call {
        endpoint,
        method: Method::GET,
        url,
        headers: HeaderMap::new(),
        body: Payload::None,
        scopes: &*SCOPES,
        what: format!("what {} has", endpoint.registry),
    }
}

/// Whether a registry says that it has no such thing: in its own words, or with the one for who may not.
fn is_no_search(error: &RegistryError) -> bool {
    match error {
        RegistryError::Missing { .. } | RegistryError::Denied { .. } => true,
        RegistryError::Answer { status, .. } => {
            status.as_u16() != 429 && (status.is_client_error() || status.as_u16() == 501)
        }
        _ => false,
    }
}

/// Whether a text is a repository's name, and nothing that a terminal or a command would take for more.
fn is_name(text: &str) -> bool {
    let reference = format!("{DOCKER}/{}", text.strip_prefix("docker.io/").unwrap_or(text));
    reference
        .parse::<Reference>()
        .is_ok_and(|name| name.tag() == Some("latest") && !text.contains([':', '@']))
}

/// What an image is pulled by. Where the config says that all images of the registry are `below` a path of
/// another one, that path is no part of it, and what is elsewhere there can not be pulled by any name of this
/// registry. Docker's own images are known by their short names.
fn called(registry: &str, below: &str, name: &str) -> Option<String> {
    let own = if below.is_empty() { name } else { name.strip_prefix(below)?.strip_prefix('/')? };
    Some(if registry == DOCKER { own.to_owned() } else { format!("{registry}/{own}") })
}

fn damaged(endpoint: &Endpoint, reason: &str) -> RegistryError {
    RegistryError::Damaged { what: format!("the answer of {}", endpoint.host()), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_model::registry::Route;

    use crate::registry::sample::{Answer, Fake};
    use crate::registry::{Certificates, Login, Logins, Patience};

    struct Nobody;

    impl Logins for Nobody {
        fn login(&self, _: &str) -> Result<Login, String> {
            Ok(Login::Anonymous)
        }
    }

    #[test]
    fn what_is_found_can_be_pulled_by_its_name() {
        for (registry, below, name, shown) in [
            ("docker.io", "", "redis", Some("redis")),
            ("h.io", "", "team/app", Some("h.io/team/app")),
            ("h.io", "ours/all", "ours/all/team/app", Some("h.io/team/app")),
            ("docker.io", "hub", "hub/library/redis", Some("library/redis")),
            ("h.io", "ours", "ourselves/app", None),
            ("h.io", "ours", "theirs/app", None),
        ] {
            assert_eq!(called(registry, below, name).as_deref(), shown, "{registry} {below} {name}");
        }
        let fake = Fake::with(|request, _| {
            let page = r#"{"repositories":["ours/app","theirs/app","ours/other"]}"#;
            request.path.starts_with("/v2/_catalog").then(|| Answer::new(200, page))
        });
        let route = Route {
            prefix: "h.io".into(),
            location: Some(format!("{}/ours", fake.address)),
            ..Route::default()
        };
        let patience = Patience { pauses: Vec::new(), ..Patience::default() };
        let session =
            Arc::new(Session::new(vec![route], Certificates::below(Vec::new()), patience, Box::new(Nobody)));
        let names: Vec<String> =
            search(&session, "h.io", "app", 25).unwrap().into_iter().map(|hit| hit.name).collect();
        assert_eq!(names, ["h.io/app"]);
    }

    fn look(fake: &Fake, term: &str, most: usize) -> Result<Vec<Hit>, String> {
        let patience = Patience { pauses: Vec::new(), ..Patience::default() };
        let certificates = Certificates::below(Vec::new());
        let session = Arc::new(Session::new(Vec::new(), certificates, patience, Box::new(Nobody)));
        search(&session, &fake.address.to_string(), term, most).map_err(|error| error.to_string())
    }

    #[test]
    fn an_index_tells_and_stars_come_first() {
        let fake = Fake::with(|request, _| {
            let text = r#"{"num_results":4,"query":"x","results":[
                {"name":"few","star_count":2,"description":null},
                {"name":"team/many","star_count":90,"is_official":true,"description":"two\nlines"},
                {"name":"../../evil"},{"name":"a:b"},{"name":"Upper"},{}]}"#;
            request.path.starts_with("/v1/search").then(|| Answer::new(200, text))
        });
        let hits = look(&fake, "a b&c", 25).unwrap();
        assert_eq!(fake.requests()[0].path, "/v1/search?q=a+b%26c&n=25");
        let names: Vec<_> = hits.iter().map(|hit| hit.name.clone()).collect();
        assert_eq!(names, [fake.name("team/many"), fake.name("few")]);
        assert_eq!((hits[0].stars, hits[0].official, hits[0].description.as_str()), (90, true, "two\nlines"));
        assert_eq!(look(&fake, "x", 1).unwrap().len(), 1);
    }

    #[test]
    fn names_that_hold_the_text_are_found_where_nobody_searches() {
        for (status, said) in [(404, ""), (401, ""), (405, ""), (501, ""), (200, "<html>"), (200, "{}")] {
            let fake = Fake::with(move |request, _| {
                let page = |text: &str| Answer::new(200, text);
                let next = "</v2/_catalog?last=b>; rel=\"next\"";
                match request.path.as_str() {
                    "/v2/_catalog?n=1000" => {
                        Some(page(r#"{"repositories":["app/one","b","../app"]}"#).header("Link", next))
                    }
                    "/v2/_catalog?last=b" => Some(page(r#"{"repositories":["team/app","x\u001b[31mapp"]}"#)),
                    _ => Some(Answer::new(status, said)),
                }
            });
            let found = |term, most| -> Vec<String> {
                look(&fake, term, most).unwrap().into_iter().map(|hit| hit.name).collect()
            };
            assert_eq!(found("APP", 25), [fake.name("app/one"), fake.name("team/app")], "{status}");
            assert_eq!(found("none", 25), [""; 0]);
            let asked = fake.requests().len();
            assert_eq!(found("app", 1), [fake.name("app/one")]);
            assert_eq!(fake.requests().len(), asked + 2, "no further page than needed");
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for (answer, words) in [
            (Answer::new(500, "ill"), "ill"),
            (Answer::new(404, ""), "is not in the registry"),
            (Answer::new(200, "[1]"), "no list of names"),
            (Answer::new(200, "{}").header("Link", "<?last=1>; rel=\"next\""), "no end"),
            (Answer { length: Some(1 << 40), ..Answer::new(200, "{") }, "more than"),
        ] {
            let fake = Fake::with(move |_, _| Some(answer.clone()));
            let error = look(&fake, "x", 25).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
