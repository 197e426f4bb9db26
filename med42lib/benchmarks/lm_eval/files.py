"""The YAML files of tasks of lm-eval, read as data: a task's own, those that a group lists, or all of a folder.

tasks/ward/
  ward.yaml     group: ward, task: [ward_a, ward_b]   no task itself
  _ward_yaml    dataset_path: json, ...               what both include
  ward_a.yaml   include: _ward_yaml, task: ward_a     ┐ one benchmark, in which a task is
  ward_b.yaml   include: _ward_yaml, task: ward_b     ┘ the subject of its questions
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from med42lib.core.errors import DataError
from med42lib.readers.files import DataFolder

_ENDING = ".yaml"
_OF_GROUPS = frozenset(("group", "group_alias", "task", "aggregate_metric_list", "metadata", "tag"))


@dataclass(frozen=True, slots=True)
class Code:
    """A value that names a Python function."""

    name: str

    def __str__(self) -> str:
        """Write it as YAML has it."""
        return f"!function {self.name}"


@dataclass(frozen=True, slots=True)
class TaskFile:
    """What a YAML says, what it includes beneath its own; `path` is its place in the data folder."""

    path: str
    settings: Mapping[str, Any]

    @property
    def is_group(self) -> bool:
        """Say whether it lists tasks and is none."""
        return "group" in self.settings

    @property
    def name(self) -> str:
        """What lm-eval calls the task."""
        return str(self.settings.get("task"))

    @property
    def title(self) -> str:
        """What lm-eval's table calls the task."""
        return str(self.settings.get("task_alias") or self.name)

    @property
    def tags(self) -> list[str]:
        """Name the task's tags, which a group may list."""
        return _as_list(self.settings.get("tag"))


def find_tasks(folder: DataFolder, path: str) -> list[TaskFile]:
    """Read the task of a YAML, those that a group's YAML lists, or all that lie directly in a folder.

    Of a folder, files that begin with `_` and groups are passed over. What a group lists is looked for beside it.

    Raises:
        DataError: If a file is broken or lies outside the data folder, a listed task is not there, or there is none.
    """
    if folder.has(path) and not folder.has_file(path):
        return list(_in_folder(folder, path))
    file = _read(folder, path)
    if not file.is_group:
        return [file]
    members = {member.path: member for member in _members(folder, file, _beside_group(folder, file), ())}
    if not members:
        raise DataError(f"{path} lists no task")
    return list(members.values())


def beside(path: str, other: object) -> str:
    """Give the place in the data folder of a file that a task names from its own."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), str(other)))
    if place.startswith(("/", "..")) or "://" in str(other):
        raise DataError(f"{path} names {str(other)!r}, which lies outside the data folder; copy it beside the task")
    return place


def code_in(value: object) -> Iterator[Code]:
    """Find the Python functions that a value names, in lists and mappings too."""
    if isinstance(value, Code):
        yield value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for part in parts:
        yield from code_in(part)


class _Loader(yaml.SafeLoader):
    """Reads a task's YAML, in which a function is a name and nothing more.

    Aliases of lists and mappings, of which lm-eval's own tasks have none, let a few bytes say gigabytes, or never end.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        is_alias, mark = self.check_event(yaml.AliasEvent), self.peek_event().start_mark  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        if is_alias and isinstance(node, yaml.CollectionNode):
            why = "an alias (*) of a list or a mapping is not read here; write it out"
            raise yaml.constructor.ConstructorError(None, None, why, mark)
        return node


def _code(_: _Loader, node: yaml.Node) -> Code:
    return Code(str(node.value))


_Loader.add_constructor("!function", _code)


def _read(folder: DataFolder, path: str) -> TaskFile:
    return TaskFile(path, _settings(folder, path))


def _settings(folder: DataFolder, path: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Read a file's settings, those of the files that it includes beneath its own."""
    if path in above:
        raise DataError(f"{path} includes itself, by way of {' and '.join(above[::-1])}")
    try:
        task = yaml.load(folder.file(path).text(), Loader=_Loader)
    except (yaml.YAMLError, ValueError, KeyError, AttributeError) as error:  # of a date or another value that is none
        raise DataError(f"{path} is not the YAML of a task: {error}") from None
    except RecursionError:
        raise DataError(f"{path} is not the YAML of a task: it is nested too deeply") from None
    if not isinstance(task, dict):
        raise DataError(f"{path} is not the YAML of a task: it holds {type(task).__name__}, not settings by name")
    found: dict[str, Any] = {}
    for other in _as_list(task.pop("include", [])):
        found |= _settings(folder, beside(path, other), (*above, path))
    return found | task


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _directly_in(folder: DataFolder, place: str) -> list[str]:
    """List the YAML files of a folder, and not of those below it."""
    place = posixpath.normpath(place or ".")
    names = folder.names(place)
    return [name for name in names if name.endswith(_ENDING) and (posixpath.dirname(name) or ".") == place]


def _in_folder(folder: DataFolder, path: str) -> Iterator[TaskFile]:
    names = [name for name in _directly_in(folder, path) if not posixpath.basename(name).startswith("_")]
    by_name: dict[str, str] = {}
    for file in (_read(folder, name) for name in names):
        if file.is_group:
            continue
        if "task" not in file.settings:
            folder.notes.append(f"{file.path} is passed over: it has no `task`, so that it is none")
            continue
        if (other := by_name.setdefault(file.name, file.path)) != file.path:
            raise DataError(f"{other} and {file.path} are both the task {file.name!r}; name the one that is meant")
        yield file
    if not by_name:
        raise DataError(f"{path} holds no task: expected YAML files directly in it that do not begin with _")


def _beside_group(folder: DataFolder, group: TaskFile) -> list[TaskFile]:
    return [_read(folder, name) for name in _directly_in(folder, posixpath.dirname(group.path))]


def _members(folder: DataFolder, group: TaskFile, files: list[TaskFile], above: tuple[str, ...]) -> Iterator[TaskFile]:
    if group.path in above:
        raise DataError(f"{group.path} lists itself, by way of {' and '.join(above[::-1])}")
    for name in group.settings:
        if name not in _OF_GROUPS:
            raise DataError(f"{group.path}: {name} in a group is not supported: write it into its tasks")
    if not _weighs_questions_alike(group):
        folder.notes.append(f"{group.path}: weight_by_size is not heeded: every question of the group weighs the same")
    for entry in _as_list(group.settings.get("task")):
        by_name = {"task": entry} if isinstance(entry, str) else entry
        if not isinstance(by_name, dict) or not set(by_name) <= {"task", "task_alias"}:
            raise DataError(f"{group.path} lists {entry!r}: give it a file of its own, and list its name alone")
        for member in _listed(folder, group, str(by_name.get("task")), files, above):
            yield replace(member, settings={**member.settings, **by_name, "task": member.name})


def _weighs_questions_alike(group: TaskFile) -> bool:
    ways = _as_list(group.settings.get("aggregate_metric_list"))
    return all(way.get("weight_by_size", True) for way in ways if isinstance(way, dict))


def _listed(
    folder: DataFolder, group: TaskFile, entry: str, files: list[TaskFile], above: tuple[str, ...]
) -> Iterator[TaskFile]:
    """Find what a group calls by one name: a task, a group, or the tasks of a tag."""
    tasks = [file for file in files if not file.is_group]
    if named := [file for file in tasks if file.name == entry]:
        if len(named) > 1:
            raise DataError(
                f"{named[0].path} and {named[1].path} are both the task {entry!r}; keep the one that is meant"
            )
        yield named[0]
    elif groups := [file for file in files if file.is_group and file.settings["group"] == entry]:
        yield from _members(folder, groups[0], files, (*above, group.path))
    elif tagged := [file for file in tasks if entry in file.tags]:
        yield from sorted(tagged, key=lambda file: file.name)
    else:
        raise DataError(f"{group.path} lists {entry!r}, which no YAML beside it defines; copy that task's file there")
