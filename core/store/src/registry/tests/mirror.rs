//! Mirrors: asked first, believed no more than others, and soon given up.

use std::sync::atomic::{AtomicBool, Ordering};

use wharf_model::registry::Route;

use super::super::document::Wanted;
use super::super::pull::runtime;
use super::*;

/// The id of what one gets who asks these mirrors first.
fn pull_by(own: &Fake, mirrors: &[String]) -> Digest {
    pull_named_by(own, mirrors, &own.name("app:1"))
}

fn pull_named_by(own: &Fake, mirrors: &[String], name: &str) -> Digest {
    let mut bench = Bench::new();
    let route = Route { prefix: own.address.to_string(), mirrors: mirrors.to_vec(), ..Route::default() };
    let logins = Box::new(Same(Login::Anonymous));
    let session = Session::new(vec![route], Certificates::below(Vec::new()), quick(), logins);
    let mut watch = Watch { judge: &mut |_, _| Ok(()), show: &mut |_| {} };
    let name = name.parse().unwrap();
    pull(&bench.store, &Arc::new(session), &name, None, &mut bench.home, &mut watch).unwrap().id
}

#[test]
fn a_mirror_is_asked_first_and_not_believed_more() {
    let (mirror, own) = (Fake::new(), Fake::new());
    let image = own.put_image("1", &[]);
    let mirrors = ["127.0.0.1:1".to_owned(), mirror.name("hub")];
    assert_eq!(pull_by(&own, &mirrors), image.id, "of one, nobody answers, and the other has nothing");
    assert_eq!(mirror.requests().len(), 1);
    assert_eq!(mirror.requests()[0].path, "/v2/hub/app/manifests/1");
    mirror.put(&format!("/v2/hub/app/manifests/{}", image.digest), MANIFEST, b"{\"other\":1}");
    let by_digest = own.name(&format!("app@{}", image.digest));
    assert_eq!(pull_named_by(&own, &mirrors, &by_digest), image.id);
    assert!(!mirror.asked(&image.digest.to_string()).is_empty());
}

/// Its bytes are unpacked as they come, long before it is known that they are wrong.
#[test]
fn privileged_what_a_mirror_gives_wrong_comes_from_the_registry() {
    if !is_root() {
        return;
    }
    let own = Fake::new();
    let image = own.put_image("1", &tars());
    let behind = own.clone();
    let mirror = Fake::with(move |request, _| {
        let mut answer = behind.answer(request);
        if request.path.contains("/blobs/") && answer.body.len() > 500_000 {
            answer.body[..50_000].fill(7);
            answer.body.truncate(400_000);
            answer.length = Some(behind.answer(request).body.len() as u64);
            answer.stall = Duration::from_millis(300);
        }
        Some(answer)
    });
    assert_eq!(pull_by(&own, &[mirror.address.to_string()]), image.id);
    assert!(!mirror.asked("/blobs/").is_empty() && !own.asked("/blobs/").is_empty());
}

/// An error, and what caused it.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| (*error).source()).map(ToString::to_string).collect()
}

#[test]
fn every_mirror_that_was_asked_in_vain_is_named_with_its_cause() {
    let (mirror, own) = (Fake::new(), Fake::new());
    let mirrors = vec!["127.0.0.1:1".to_owned(), mirror.name("hub")];
    let route = Route { prefix: own.address.to_string(), mirrors, ..Route::default() };
    let logins = Box::new(Same(Login::Anonymous));
    let session = Session::new(vec![route], Certificates::below(Vec::new()), quick(), logins);
    let name: Reference = own.name("app:1").parse().unwrap();
    let (runtime, host) = (runtime().unwrap(), Platform::host());
    let errors = [
        runtime.block_on(session.resolve(&name, Wanted::Image(&host))).map(drop).unwrap_err(),
        runtime.block_on(session.first_document(&name)).map(drop).unwrap_err(),
    ];
    for error in errors {
        let causes = causes(&error);
        assert_eq!(causes.len(), 3, "{causes:?}");
        assert!(causes[0].starts_with("the manifest of") && causes[0].contains("is not in the registry"));
        assert!(causes[1].contains("mirror http://127.0.0.1:1 did not do: cannot reach"), "{causes:?}");
        let second = format!("mirror http://{} did not do: the manifest of", mirror.address);
        assert!(causes[2].contains(&second), "{causes:?}");
    }
}

/// Tries of a request and tries of a layer do not multiply, and a mirror gets fewer of them.
#[test]
fn privileged_a_mirror_that_broke_is_soon_given_up() {
    if !is_root() {
        return;
    }
    let own = Fake::new();
    let image = own.put_image("1", &tars());
    let behind = own.clone();
    let broken = Arc::new(AtomicBool::new(false));
    let mirror = Fake::with(move |request, _| {
        let answer = behind.answer(request);
        if request.path.contains("/blobs/") && answer.body.len() > 500_000 {
            broken.store(true, Ordering::SeqCst);
            return Some(answer.cut(400_000));
        }
        Some(if broken.load(Ordering::SeqCst) { Answer::new(503, "") } else { answer })
    });
    assert_eq!(pull_by(&own, &[mirror.address.to_string()]), image.id);
    let mut tries = std::collections::BTreeMap::new();
    let layers = mirror.asked("/blobs/");
    layers.iter().for_each(|request| *tries.entry(request.path.as_str()).or_insert(0) += 1);
    // The large one is cut twice before it fits into what is answered at all.
    assert!(tries.values().all(|count| *count <= 2 + 3), "{tries:?}");
    assert!(!own.asked("/blobs/").is_empty());
}
