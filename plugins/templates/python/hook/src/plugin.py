"""No container runs an image that has no tag or whose tag is `latest`: it could be another one tomorrow."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.hook_types import Moment, Phase, Subject_Container, Verdict_Allow, Verdict_Deny
from wit_world.imports.types import Diagnostic, Failure, FailureKind, Manifest, Request, Severity


class About(exports.About):
    def introduce(self):
        return Manifest(
            name="__name__",
            version="0.1.0",
            summary="__summary__",
            requests=[Request("ops:judge", "refuses containers of images without a fixed tag")],
        )


class Hook(exports.Hook):
    def describe(self):
        return [(Moment.CONTAINER, Phase.JUDGE)]

    def validate_settings(self, settings):
        for key, _ in settings:
            unknown = error("__name__/settings", f"unknown setting `{key}`", "there are no settings")
            raise Err(Failure(FailureKind.INVALID_INPUT, [unknown]))

    def adjust(self, event, image):
        return []

    def judge(self, event, image):
        if not isinstance(event.subject, Subject_Container) or is_pinned(event.subject.value.image):
            return Verdict_Allow()
        message = f"the image `{event.subject.value.image}` has no fixed tag"
        return Verdict_Deny([error("__name__/unpinned", message, "name one, such as `busybox:1.36`")])

    def observe(self, event):
        pass


def is_pinned(image):
    """Whether a reference names one image for good: by its digest, or by a tag other than `latest`."""
    _, colon, tag = image.split("/")[-1].partition(":")
    return "@" in image or (colon != "" and tag != "latest")


def error(code, message, help):
    return Diagnostic(Severity.ERROR, code, message, span=None, help=help, url=None)
