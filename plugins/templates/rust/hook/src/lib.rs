//! No container runs an image that has no tag or whose tag is `latest`: it could be another one tomorrow.

use wharf_sdk::hook::{Event, Files, Moment, Phase, Subject, Verdict};
use wharf_sdk::{Diagnostic, Failure, Hook, Request, Settings, Severity};

struct __Type__;

wharf_sdk::export_hook!(__Type__);

impl Hook for __Type__ {
    fn describe() -> Vec<(Moment, Phase)> {
        vec![(Moment::Container, Phase::Judge)]
    }

    fn requests() -> Vec<Request> {
        vec![Request::new("ops:judge", "refuses containers of images without a fixed tag")]
    }

    fn judge(event: &Event, _: Option<&dyn Files>, _: &Settings) -> Result<Verdict, Failure> {
        let Subject::Container(container) = &event.subject else { return Ok(Verdict::Allow) };
        if is_pinned(&container.image) {
            return Ok(Verdict::Allow);
        }
        let message = format!("the image `{}` has no fixed tag", container.image);
        let refusal = Diagnostic::new(Severity::Error, "__name__/unpinned", message);
        Ok(Verdict::Deny(vec![refusal.help("name one, such as `busybox:1.36`")]))
    }
}

/// Whether a reference names one image for good: by its digest, or by a tag other than `latest`.
fn is_pinned(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    image.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest")
}

#[cfg(test)]
mod tests {
    use super::is_pinned;

    #[test]
    fn a_tag_other_than_latest_is_a_fixed_one() {
        for (image, pinned) in [
            ("busybox", false),
            ("busybox:latest", false),
            ("busybox:1.36", true),
            ("localhost:5000/busybox", false),
            ("localhost:5000/busybox:1.36", true),
            ("busybox@sha256:0123", true),
        ] {
            assert_eq!(is_pinned(image), pinned, "{image}");
        }
    }
}
