//! A list of what is in an image (CycloneDX 1.5, JSON), attached to each image that is built.
//!
//! It is made from what package managers write down: Debian's `/var/lib/dpkg/status` and
//! `status.d`, Alpine's `/lib/apk/db/installed`, and Python's `*.dist-info/METADATA`. The same image
//! gives the same list. A build that `required = true` is set for fails when it can not be made.

mod read;

use serde_json::{Value, json};
use wharf_sdk::hook::{Adjustment, Attachment, EntryKind, Event, Files, Moment, Phase, Subject};
use wharf_sdk::{Failure, Hook, Request, Settings};

use read::Package;

/// Bytes of one list of packages.
const LONGEST: u64 = 64 << 20;
/// How many packages of Python an image may have.
const MOST: u32 = 10_000;

struct Sbom;

wharf_sdk::export_hook!(Sbom);

impl Hook for Sbom {
    fn requests() -> Vec<Request> {
        vec![
            Request::new("ops:adjust", "keeps the list beside the image"),
            Request::new("read:image", "reads what package managers wrote down"),
        ]
    }

    fn describe() -> Vec<(Moment, Phase)> {
        vec![(Moment::ImageCommit, Phase::Adjust)]
    }

    fn adjust(event: &Event, image: Option<&dyn Files>, _: &Settings) -> Result<Vec<Adjustment>, Failure> {
        let (Subject::ImageCommit(commit), Some(image)) = (&event.subject, image) else {
            return Ok(Vec::new());
        };
        let list = document(&commit.names, &commit.config, &packages(image)?);
        Ok(vec![Adjustment::Attach(Attachment {
            name: "sbom.cdx.json".to_owned(),
            media_type: "application/vnd.cyclonedx+json".to_owned(),
            content: format!("{list:#}\n").into_bytes(),
        })])
    }
}

fn packages(image: &dyn Files) -> Result<Vec<Package>, Failure> {
    let text = |path: &str| -> Result<String, Failure> {
        let content = image.read(path, LONGEST)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&content).into_owned())
    };
    let distribution = read::distribution(&text("usr/lib/os-release")?, &text("etc/os-release")?);
    let mut found = read::debian(&text("var/lib/dpkg/status")?, &distribution);
    for path in files(image, "var/lib/dpkg/status.d/*")? {
        found.extend(read::debian(&text(&path)?, &distribution));
    }
    found.extend(read::alpine(&text("lib/apk/db/installed")?, &distribution));
    for path in files(image, "**/*.dist-info/METADATA")? {
        found.extend(read::python(&text(&path)?));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Links are left out: what they lead to is found where it is.
fn files(image: &dyn Files, pattern: &str) -> Result<Vec<String>, Failure> {
    let found = image.glob(&[pattern.to_owned()], MOST)?.into_iter();
    Ok(found.filter(|entry| entry.kind == EntryKind::File).map(|entry| entry.path).collect())
}

fn document(names: &[String], config: &str, packages: &[Package]) -> Value {
    let config: Value = serde_json::from_str(config).unwrap_or_default();
    let components: Vec<Value> = packages.iter().map(component).collect();
    let name = names.first().map_or("image", String::as_str);
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": { "type": "container", "name": name },
            "tools": { "components": [
                { "type": "application", "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") },
            ] },
        },
        "components": components,
    });
    // The image's own time: the same image gives the same list.
    if let Some(created) = config["created"].as_str() {
        document["metadata"]["timestamp"] = created.into();
    }
    document
}

fn component(package: &Package) -> Value {
    json!({
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_the_image_and_its_packages() {
        let packages = Vec::from_iter(read::python("Name: Flask\nVersion: 2.0\n\n"));
        let config = r#"{"created":"2026-01-01T00:00:00Z"}"#;
        let document = document(&["app:1".to_owned()], config, &packages);
        assert_eq!(document["metadata"]["component"]["name"], "app:1");
        assert_eq!(document["metadata"]["timestamp"], "2026-01-01T00:00:00Z");
        assert_eq!(document["components"][0]["purl"], "pkg:pypi/flask@2.0");
    }
}
