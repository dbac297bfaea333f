//! Links between the pages of a finished book.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use html5gum::{Token, Tokenizer};

use crate::Outcome;

/// What one page offers and asks for.
#[derive(Default)]
struct Page {
    anchors: BTreeSet<String>,
    links: BTreeSet<String>,
}

/// Follows every link that does not leave the book.
pub(crate) fn check(directory: &Path) -> Outcome<()> {
    let mut pages = BTreeMap::new();
    read(directory, Path::new(""), &mut pages)?;
    if pages.is_empty() {
        return Err(format!("there are no pages in {}", directory.display()).into());
    }
    let dead: Vec<String> = pages
        .iter()
        .flat_map(|(path, page)| page.links.iter().map(move |link| (path, link)))
        .filter(|(path, link)| !leads_somewhere(directory, &pages, path, link))
        .map(|(path, link)| format!("{}: `{link}` leads nowhere", path.display()))
        .collect();
    if dead.is_empty() { Ok(()) } else { Err(dead.join("\n").into()) }
}

fn read(root: &Path, below: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Outcome<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read(root, &path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "html") {
            pages.insert(path, page(&fs::read_to_string(entry.path())?));
        }
    }
    Ok(())
}

fn page(html: &str) -> Page {
    let mut page = Page::default();
    for Ok(token) in Tokenizer::new(html) {
        let Token::StartTag(tag) = token else { continue };
        for (name, value) in &tag.attributes {
            let value = String::from_utf8_lossy(value).into_owned();
            match &name[..] {
                b"id" => _ = page.anchors.insert(value),
                b"href" | b"src" => _ = page.links.insert(value),
                _ => {}
            }
        }
    }
    page
}

/// Whether a link is to the outside, or to a file and a place in it that are there.
fn leads_somewhere(root: &Path, pages: &BTreeMap<PathBuf, Page>, from: &Path, link: &str) -> bool {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        return true;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = path.split('?').next().unwrap_or_default();
    let target = match path {
        "" => from.to_owned(),
        path => tidy(&from.parent().unwrap_or(Path::new("")).join(path)),
    };
    match pages.get(&target) {
        Some(page) => anchor.is_empty() || page.anchors.contains(anchor),
        None => root.join(&target).is_file(),
    }
}

/// Without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = tidied.pop(),
            Component::Normal(name) => tidied.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(pages: &[(&str, &str)]) -> BTreeMap<PathBuf, Page> {
        pages.iter().map(|(path, html)| (PathBuf::from(path), page(html))).collect()
    }

    #[test]
    fn links_lead_to_pages_and_to_places_in_them() {
        let pages = book(&[
            ("index.html", "<a href='a/b.html#here'>x</a>"),
            ("a/b.html", "<h2 id='here'>y</h2><a href='../index.html'>z</a>"),
        ]);
        for (from, link, leads) in [
            ("index.html", "a/b.html#here", true),
            ("index.html", "a/b.html#there", false),
            ("index.html", "b.html", false),
            ("a/b.html", "../index.html", true),
            ("a/b.html", "#here", true),
            ("a/b.html", "#nowhere", false),
            ("a/b.html", "https://example.com/", true),
        ] {
            let found = leads_somewhere(Path::new("/nonexistent"), &pages, Path::new(from), link);
            assert_eq!(found, leads, "{from}: {link}");
        }
    }

    #[test]
    fn a_directory_without_pages_is_no_book() {
        let empty = tempfile::tempdir().unwrap();
        assert!(check(empty.path()).is_err());
    }

    #[test]
    fn a_dead_link_is_named_with_its_page() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("index.html"), "<a href='gone.html'>x</a>").unwrap();
        assert_eq!(check(directory.path()).unwrap_err().to_string(), "index.html: `gone.html` leads nowhere");
    }
}
