"""Settings on a command line: `key=value` texts, what a key means, and in which keys two sets of settings differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError

from autoseg.commands import as_flag
from autoseg.errors import AutosegError, did_you_mean
from autoseg.plan import Frozen

FLAGS = {"epochs": "--epochs", "iterations": "--iterations", "max_hours": "--max-hours", "pretrained": "--from"}
SettingsType = TypeVar("SettingsType", bound=BaseModel)


class Group(Frozen, allow_inf_nan=False):
    """Settings of one part, named "part.setting" on the command line."""


def read_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """Return what --set was given: the text behind "key=" by key. Raises AutosegError where a text has no "="."""
    for assignment in assignments:
        if "=" not in assignment:
            raise AutosegError(f'--set takes key=value, but "{assignment}" has no "=".')
    return {key: text for key, _, text in (assignment.partition("=") for assignment in assignments)}


def as_texts(given: Mapping[str, object]) -> dict[str, str]:
    """Return settings as the texts that --set takes for them. Raises AutosegError where they are no dict."""
    _require_dict(given)
    return {key: as_flag(value) for key, value in given.items()}


def chosen_settings(given: Mapping[str, object], defaults: SettingsType, **flags: object) -> SettingsType:
    """Return a recipe's `defaults`, changed by the settings given and by flags that are not None (flags win).

    given: values by key. Keys of a part are written "part.setting". A value is of the setting's type, or the text that --set
    takes for it: tuples with commas ("64,64,32"; "" for no axis), None as "none".
    Raises AutosegError that names what is wrong and lists the keys there are.
    """
    _require_dict(given)
    known = dict(listed(defaults))
    changed: dict[str, object] = {}
    for key, value in given.items():
        if key not in known:
            raise AutosegError(f'There is no setting "{key}".{did_you_mean(key, known)} There are: {", ".join(sorted(known))}. '
                               f"`autoseg recipes` explains them.")
        changed[key] = _parse_value(type(defaults), key, value) if isinstance(value, str) else value
    named = {key: value for key, value in flags.items() if value is not None}
    if unknown := [FLAGS.get(key, key) for key in named if key not in known]:
        raise AutosegError(f"{', '.join(unknown)} is of other recipes than this one. Leave it out, or choose another with -tr.")
    changed.update(named)
    return with_changes(defaults, changed)


def with_changes(settings: SettingsType, changed: dict[str, object]) -> SettingsType:
    """Return `settings` with other values for some keys, "part.setting" among them. Raises AutosegError where they do not fit."""
    content = settings.model_dump(by_alias=True)
    for key, value in changed.items():
        part, dot, name = key.partition(".")
        if dot:
            content[part][name] = value
        else:
            content[key] = value
    try:
        return type(settings).model_validate(content)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise AutosegError(f"These settings do not fit: {wrong}.") from error


def listed(settings: BaseModel) -> Iterator[tuple[str, Any]]:
    """Yield every key that --set takes, with its value."""
    for name, value in settings:
        key = type(settings).model_fields[name].alias or name  # `lambda_` is called "lambda"
        if isinstance(value, Group):
            yield from ((f"{key}.{part}", inner) for part, inner in value)
        else:
            yield key, value


def differences(settings: BaseModel, other: BaseModel) -> dict[str, tuple[Any, Any]]:
    """Return keys whose values differ, with both."""
    values, others = dict(listed(settings)), dict(listed(other))
    return {key: (value, others.get(key)) for key, value in values.items() if value != others.get(key)}


def flags_of(settings: BaseModel, defaults: BaseModel) -> tuple[str, ...]:
    """Return the flags of autoseg_train that give these settings; the recipe's defaults are left out."""
    changed = {key: value for key, (value, _) in differences(settings, defaults).items()}
    named = [word for key, flag in FLAGS.items() if key in changed for word in (flag, as_flag(changed.pop(key)))]
    return (*named, *(word for key, value in changed.items() for word in ("--set", f"{key}={as_flag(value)}")))


def description_of(settings: type[BaseModel], key: str) -> str:
    """Return what a key of --set means, and which values it takes where these are named."""
    field = _field_of(settings, key)
    return field.description or ""


def choices_of(settings: type[BaseModel], key: str) -> tuple[str, ...]:
    """Return the names that a key of --set takes; () for numbers."""
    return _named_choices(_field_of(settings, key).annotation)


def _require_dict(given: object) -> None:
    if not isinstance(given, Mapping):
        raise AutosegError(f'settings is {given!r}. Expected a dict of values by name, such as {{"batch_size": 2}}.')


def _field_of(settings: type[BaseModel], key: str) -> Any:
    part, dot, name = key.partition(".")
    by_alias = {field.alias: field for field in settings.model_fields.values() if field.alias}
    field = by_alias.get(part) or settings.model_fields[part]
    return field.annotation.model_fields[name] if dot else field  # type: ignore[union-attr]


def _named_choices(annotation: Any) -> tuple[str, ...]:
    found: list[str] = []
    for part in getattr(annotation, "__args__", ()):
        if isinstance(part, str):
            found.append(part)
        else:
            found.extend(_named_choices(part))
    return tuple(found)


def _parse_value(settings: type[BaseModel], key: str, text: str) -> object:
    choices = choices_of(settings, key)
    if text.lower() == "none" and "none" not in choices:
        return None
    annotation = _field_of(settings, key).annotation
    is_name = text in choices and get_origin(annotation) is not tuple  # of a tuple it is one member
    if "tuple" in str(annotation) and not is_name:
        return tuple(part for part in text.split(",") if part)
    return text
