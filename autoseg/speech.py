"""Words of messages: they are written as a command's user reads them, and turned into Python's for one who calls from Python."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any

from autoseg.errors import AutosegError, require_not_empty, system_error

ARGUMENTS = {
    "-i": "input", "-o": "output", "-d": "dataset", "-m": "model", "-c": "configuration", "-tr": "recipe", "-f": "folds",
    "-np": "workers", "--continue": "resume", "--crop": "crop_mm",
}
SWITCHES = ("--continue", "--restart", "--overwrite", "--skip-bad-cases", "--subset", "--save-probabilities")
COMMAND = re.compile(r"`[^`]*`|\bautoseg(?:_\w+| [a-z][a-z-]*)\b.*?(?=[,;)]|[.:](?:\s|$)|$)", re.MULTILINE)
SETTING = re.compile(r"--set (?P<key>[A-Za-z_][\w.]*)=(?P<value>[^\s,;).]*)")
FLAG = re.compile(r"(?<![\w/.=-])(?P<flag>--[a-z][a-z-]+|-(?:i|o|d|m|c|tr|f|np))\b(?: (?P<value>\d[\w.]*|cpu\b|[A-Z]+\b))?")

_in_python = ContextVar("in_python", default=False)


def called_from_python(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, whose messages name arguments instead of flags; errors of the system become AutosegError."""

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        before = _in_python.set(True)
        try:
            for name, value in (*zip(inspect.signature(function).parameters, arguments, strict=False), *named.items()):
                require_not_empty(name, value)
            return function(*arguments, **named)
        except AutosegError as error:
            error.args = (in_python(str(error)),)
            raise
        except (OSError, RuntimeError, ValueError) as error:
            if (told := system_error(error)) is None:
                raise
            raise AutosegError(in_python(str(told))) from error
        finally:
            _in_python.reset(before)

    return call


def spoken(message: str) -> str:
    """Return a message as the present caller reads it."""
    return in_python(message) if _in_python.get() else message


def in_python(message: str) -> str:
    """Return a message with arguments instead of flags, such as restart=True for --restart; whole commands stay."""
    message = message.replace("`autoseg recipes`", "autoseg.recipes()")
    said, end = list[str](), 0
    for command in COMMAND.finditer(message):
        said += [_arguments(message[end:command.start()]), command.group()]
        end = command.end()
    return "".join([*said, _arguments(message[end:])])


def _arguments(text: str) -> str:
    return FLAG.sub(_argument, SETTING.sub(_setting, text))


def _setting(found: re.Match[str]) -> str:
    key, value = found["key"], found["value"]
    return f'{key}={value} in settings' if value else f"{key} in settings"


def _argument(found: re.Match[str]) -> str:
    flag, value = found["flag"], found["value"]
    name = ARGUMENTS.get(flag, flag.lstrip("-").replace("-", "_"))
    if flag in SWITCHES:
        return f"{name}=True" + (f" {value}" if value else "")
    if flag.startswith("--no-"):
        return f"{name.removeprefix('no_')}=False" + (f" {value}" if value else "")
    if value is None:
        return "settings=" if flag == "--set" else f"{name}="
    return f"{name}={value if value[0].isdigit() or value.isupper() else repr(value)}"
