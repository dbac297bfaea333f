"""`__KEYWORD__ TEXT` writes a text to `/etc/__name__` and labels the image with it."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.instruction import BodyKind, KeywordSpec, Outcome_Plan
from wit_world.imports.build_plan import (
    Action_Write, ConfigChange_Label, Input_Op, Input_Stage, Op, Plan, Write,
)
from wit_world.imports.types import Diagnostic, Failure, FailureKind, Manifest, Request, Severity


class About(exports.About):
    def introduce(self):
        return Manifest(
            name="__name__",
            version="0.1.0",
            summary="__summary__",
            requests=[
                Request("ops:write", "writes /etc/__name__"),
                Request("ops:config", "sets the label __name__"),
            ],
        )


class Instruction(exports.Instruction):
    def describe(self):
        return [KeywordSpec(
            keyword="__KEYWORD__",
            summary="writes a text into the image",
            body=BodyKind.TEXT,
            expands_variables=True,
            heredocs=False,
            flags=[],
            before_from=False,
            starts_stage=False,
        )]

    def validate_settings(self, settings):
        for key, _ in settings:
            raise refusal(f"unknown setting `{key}`", "there are no settings")

    def plan_instruction(self, call, context):
        text = call.body.value.strip()
        if not text:
            raise refusal("__KEYWORD__ requires a text", "write `__KEYWORD__ some words`")
        write = Write(
            base=Input_Stage(),
            path="/etc/__name__",
            content=f"{text}\n".encode(),
            owner=None,
            mode=0o644,
        )
        return Outcome_Plan(Plan(
            ops=[Op(action=Action_Write(write), label="write /etc/__name__")],
            rootfs=Input_Op(0),
            config=[ConfigChange_Label(("__name__", text))],
            diagnostics=[],
        ))


def refusal(message, help):
    """What is raised is the failure of the contract."""
    diagnostic = Diagnostic(Severity.ERROR, "InvalidInstruction", message, span=None, help=help, url=None)
    return Err(Failure(FailureKind.INVALID_INPUT, [diagnostic]))
