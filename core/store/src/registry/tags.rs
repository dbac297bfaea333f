//! The tags of a repository, page by page.

use std::sync::Arc;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Response, Url};
use serde::Deserialize;
use wharf_model::Reference;

use super::document::LIMIT;
use super::endpoint::{Endpoint, same};
use super::error::RegistryError;
use super::payload::Payload;
use super::pull::{PullError, runtime};
use super::resolve::pull_scope;
use super::session::{Call, Session, body};
use crate::record::repository;

/// Of one page.
pub(super) const PAGE: &str = "1000";
/// More are no list that anybody could want.
pub(super) const PAGES: usize = 100;

#[derive(Debug, Deserialize)]
struct Listed {
    /// Some registries write `null` for none.
    tags: Option<Vec<String>>,
}

/// All tags of a repository, as names of images.
///
/// # Errors
/// When the registry does not tell, or tells what is no tag.
pub fn tags(session: &Arc<Session>, name: &Reference) -> Result<Vec<Reference>, PullError> {
    let endpoint = session.target(name)?;
    let what = format!("the tags of {}", name.familiar_name());
    let listed = runtime()?.block_on(session.tags(&endpoint, &what))?;
    let named = |tag: &String| {
        let parsed = format!("{}:{tag}", repository(name)).parse::<Reference>().ok();
        let parsed = parsed.filter(|parsed| parsed.tag() == Some(tag) && parsed.digest().is_none());
        let reason = format!("`{}` is no tag", tag.chars().take(100).collect::<String>());
        parsed.ok_or_else(|| RegistryError::Damaged { what: what.clone(), reason }.into())
    };
    listed.iter().map(named).collect()
}

impl Session {
    async fn tags(&self, endpoint: &Endpoint, what: &str) -> Result<Vec<String>, RegistryError> {
        let damaged =
            |reason: &str| RegistryError::Damaged { what: what.to_owned(), reason: reason.to_owned() };
        let mut url = endpoint.url("tags/list");
        url.query_pairs_mut().append_pair("n", PAGE);
        let mut all = Vec::new();
        for _ in 0..PAGES {
            let call = Call {
                endpoint,
                method: Method::GET,
                url: url.clone(),
                headers: HeaderMap::new(),
                body: Payload::None,
                scopes: &pull_scope(endpoint),
                what: what.to_owned(),
            };
            let response = self.send(&call).await?;
            let next = next_page(&url, &response);
            let text = body(&call, response, LIMIT, self.patience.stall).await?;
            let listed: Listed =
                serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))?;
            all.extend(listed.tags.unwrap_or_default());
            match next {
                Some(next) => url = next,
                None => return Ok(all),
            }
        }
        Err(damaged("it has no end"))
    }
}

/// `Link: </v2/app/tags/list?last=x>; rel="next"`, on the same server (RFC 8288).
pub(super) fn next_page(url: &Url, response: &Response) -> Option<Url> {
    let link = response.headers().get(LINK)?.to_str().ok()?;
    let (target, relation) = link.strip_prefix('<')?.split_once('>')?;
    let next = url.join(target).ok()?;
    (relation.contains("next") && same(url, &next)).then_some(next)
}
