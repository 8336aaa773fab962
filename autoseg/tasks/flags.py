"""Options of a task as flags of the command line, and options from what a user gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from autoseg.commands import as_flag
from autoseg.errors import AutosegError

Options = TypeVar("Options", bound=BaseModel)
SHORT_FLAGS = {"configurations": "-c"}  # fields whose flag is not their name


def flag_of(field: str) -> str:
    """Return the flag that sets a field: "--memory-gb" for memory_gb."""
    return SHORT_FLAGS.get(field, f"--{field.replace('_', '-')}")


def options_flags(options: BaseModel) -> list[str]:
    """Return the words of a command line that ask for these options; fields with their default value are left out."""
    words: list[str] = []
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        if value != field.get_default(call_default_factory=True):
            words += [flag_of(name), *map(as_flag, value if isinstance(value, (tuple, list)) else [value])]
    return words


def options_from(model: type[Options], given: Mapping[str, object]) -> Options:
    """Return the options that a user gave, by field name. Raises AutosegError that names the first flag with a wrong value."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise AutosegError(f'{flag_of(name)} cannot be "{as_flag(given.get(name))}": {first["msg"]}.') from error
