"""Keeps every layer, container and volume as a whole tree of its own, at `<id>/fs`."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.storage_driver import DriverInfo, LayerFormat, Location
from wit_world.imports.storage_plan import (
    Action_CloneTree, Action_Mkdir, Action_RemoveTree, Action_Rename, Area, Bind, MakeDirectory, Mount_Bind, Move, Plan,
    Rooted, Step,
)
from wit_world.imports.types import Diagnostic, Failure, FailureKind, Manifest, Request, Severity


class About(exports.About):
    def introduce(self):
        return Manifest(
            name="__name__",
            version="0.1.0",
            summary="__summary__",
            requests=[
                Request("ops:directory", "makes, copies and moves the trees"),
                Request("ops:remove-tree", "removes them"),
                Request("ops:mount-directory", "shows them"),
            ],
        )


class StorageDriver(exports.StorageDriver):
    def describe(self):
        return DriverInfo(name="__name__", layers=LayerFormat.TREE)

    def validate_settings(self, settings, facts):
        for key, _ in settings:
            unknown = f"unknown setting `{key}`"
            said = Diagnostic(Severity.ERROR, "__name__/settings", unknown, span=None, help=None, url=None)
            raise Err(Failure(FailureKind.INVALID_INPUT, [said]))

    def locate(self, object):
        return Location(changes=tree(object), image=None)

    def plan_create(self, token, object, state):
        if object.area == Area.VOLUME or not object.parents:
            return plan([mkdir(tree(object))])
        parent = object.parents[0]
        copy = Action_CloneTree(Move(source=Rooted(Area.LAYER, f"{parent}/fs"), dest=tree(object)))
        return plan([mkdir(everything(object)), Step(action=copy, label=f"copy {parent}")])

    def plan_commit(self, token, container, layer, state):
        keep = Action_Rename(Move(source=tree(container), dest=tree(layer)))
        return plan([mkdir(everything(layer)), Step(action=keep, label=f"keep {container.id}")])

    def plan_attach(self, token, object, read_only, state):
        return plan([], [Mount_Bind(Bind(source=tree(object), read_only=read_only))])

    def plan_detach(self, token, object, state):
        return plan([])

    def plan_remove(self, token, object, state):
        return plan([Step(action=Action_RemoveTree(everything(object)), label=f"remove {object.id}")])


def everything(object):
    return Rooted(object.area, object.id)


def tree(object):
    return Rooted(object.area, f"{object.id}/fs")


def mkdir(path):
    return Step(action=Action_Mkdir(MakeDirectory(path, mode=0o755, uid=0, gid=0)), label=f"make {path.path}")


def plan(steps, mounts=()):
    return Plan(steps=steps, mounts=list(mounts), state=[], diagnostics=[])
