"""Options that a user may give to a task: a pydantic model of options, the flags that a command line makes of it, and back."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from autoseg.commands import as_flag, command_line
from autoseg.errors import AutosegError
from autoseg.settings import read_assignments
from autoseg.task import TaskInfo
from autoseg.workspace import DatasetFolder

Options = TypeVar("Options", bound=BaseModel)


def option(default: Any, meaning: str, **arguments: Any) -> Any:
    """Return a field of options. meaning: the flag's help. arguments: that argparse takes besides those that the field's type
    gives; "flag" is the flag's name, where it is not that of the field; "labels" is true where it takes label files, in a folder,
    or a model that makes them."""
    return Field(default, description=meaning, json_schema_extra=arguments)


@dataclass(frozen=True)
class Flag:
    """A flag of a command line. field: of the options. name: as the user types it. whom: plurals of the tasks whose models take
    it. arguments: those for `argparse.ArgumentParser.add_argument`; where the flag is not given, its value is None."""

    field: str
    name: str
    whom: tuple[str, ...]
    arguments: dict[str, Any]


def flags_of(options: Mapping[TaskInfo, type[BaseModel]]) -> list[Flag]:
    """Return the flags that set the options of several tasks. A flag that several tasks know is one flag, whose help says what it
    does for each of them."""
    found: dict[str, Flag] = {}
    for info, model in options.items():
        for name, entry in model.model_fields.items():
            flag, earlier = _flag(name, entry, info), found.get(name)
            if earlier is not None:
                arguments = {**earlier.arguments, "help": _both_helps(earlier, flag)}
                flag = Flag(name, flag.name, (*earlier.whom, info.plural), arguments)
            found[name] = flag
    return list(found.values())


def flag_of(model: type[BaseModel], name: str) -> str:
    """Return the flag that sets a field: "--memory-gb" for memory_gb, "--no-mirroring" for mirroring where that is on unless it
    is turned off, or what its `option` says."""
    return _name(name, model.model_fields[name])


def takes_labels(model: type[BaseModel]) -> list[str]:
    """Return the fields that take a folder of label files, or a model that makes them."""
    return [name for name, entry in model.model_fields.items()
            if isinstance(entry.json_schema_extra, dict) and entry.json_schema_extra.get("labels")]


def options_flags(options: BaseModel) -> list[str]:
    """Return the words of a command line that ask for these options; fields with their default value are left out."""
    words: list[str] = []
    for name, entry in type(options).model_fields.items():
        value = getattr(options, name)
        if value != entry.get_default(call_default_factory=True):
            values = value if isinstance(value, (tuple, list)) else () if isinstance(value, bool) else [value]
            words += [_name(name, entry), *map(as_flag, values)]
    return words


def planning_command(folder: DatasetFolder, task: TaskInfo, options: BaseModel) -> str:
    """Return the command line that plans a dataset for a task with these options."""
    return command_line(folder, "autoseg_plan_and_preprocess", *planning_words(task, options))


def planning_words(task: TaskInfo, options: BaseModel) -> list[str]:
    """Return the words of `planning_command` that follow the dataset."""
    planner = [] if "planner" in type(options).model_fields else ["--planner", task.planner]
    return [*planner, *options_flags(options)]


def options_from(model: type[Options], given: Mapping[str, object]) -> Options:
    """Return the options that a user gave, by field name; a text alone stands for a list of it.

    Raises AutosegError that names the first flag with a wrong value.
    """
    several = {name for name, entry in model.model_fields.items() if _argparse_type(entry).get("nargs") == "+"}
    try:
        return model.model_validate({
            name: (value,) if isinstance(value, str) and name in several else value for name, value in given.items()})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        flag = flag_of(model, name) if name in model.model_fields else name
        raise AutosegError(f'{flag} cannot be "{as_flag(given.get(name))}": {first["msg"]}.') from error


def require_known(options: Mapping[TaskInfo, type[BaseModel]], task: TaskInfo, given: Mapping[str, object], remedy: str) -> None:
    """Raise AutosegError where options were given that the task does not have; it says whose they are. remedy: what to do but
    leaving them out. Raise TypeError, as Python does, for names that no task knows."""
    unknown = [name for name in given if name not in options[task].model_fields]
    known = {flag.field: flag for flag in flags_of(options)}
    if nowhere := [name for name in unknown if name not in known]:
        raise TypeError(f"there is no option {', '.join(nowhere)}; there are: {', '.join(known)}")
    if unknown:
        whose: dict[tuple[str, ...], list[str]] = {}
        for name in unknown:
            whose.setdefault(known[name].whom, []).append(known[name].name)
        said = [f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} for {' and '.join(whom)}"
                for whom, names in whose.items()]
        raise AutosegError(f"{'; '.join(said)}, but the model meant here is {task.a_model}. Leave "
                           f"{'it' if len(unknown) == 1 else 'them'} out, or {remedy}.")


def _flag(name: str, entry: FieldInfo, info: TaskInfo) -> Flag:
    extra = entry.json_schema_extra if isinstance(entry.json_schema_extra, dict) else {}
    said = {key: value for key, value in extra.items() if key not in ("flag", "labels")}
    arguments = said if "action" in said else _argparse_type(entry) | said
    return Flag(name, _name(name, entry), (info.plural,), {"dest": name, "default": None, "help": entry.description, **arguments})


def _name(name: str, entry: FieldInfo) -> str:
    extra = entry.json_schema_extra if isinstance(entry.json_schema_extra, dict) else {}
    return str(extra.get("flag", f"--{'no-' if entry.default is True else ''}{name.replace('_', '-')}"))


def _argparse_type(entry: FieldInfo) -> dict[str, Any]:
    """Return what argparse has to know of a field's type."""
    kind = entry.annotation
    if get_origin(kind) in (types.UnionType, typing.Union):  # "float | None"
        kind = next(inner for inner in get_args(kind) if inner is not type(None))
    if get_origin(kind) is Annotated:  # a number within bounds, which pydantic checks
        kind = get_args(kind)[0]
    if kind is bool:
        return {"action": "store_const", "const": entry.default is not True}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        one = {"choices": get_args(inner[0])} if get_origin(inner[0]) is Literal else {"type": inner[0]}
        return {"nargs": "+" if inner[-1] is Ellipsis else len(inner), **one}
    return {"type": str if kind is Path else kind}


def _both_helps(earlier: Flag, flag: Flag) -> str:
    said = str(earlier.arguments["help"])
    start = said if len(earlier.whom) > 1 else f"for {earlier.whom[0]}: {said}"
    return f"{start}; for {flag.whom[0]}: {flag.arguments['help']}"


def given_options(flags: Sequence[Flag], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the flags' fields that were given, with their values."""
    given = [(flag, values[flag.field]) for flag in flags if values[flag.field] is not None]
    return {flag.field: read_assignments(value) if flag.arguments.get("action") == "append" else value for flag, value in given}
