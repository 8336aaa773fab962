"""Changes to JSON: other types, numbers and texts in the place of any value, and text that is nearly JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.fuzz.mutators import changed_bytes

DEEP = 20_000
RAW = {  # texts that Python's own writer does not write, by a mark that is replaced by them
    "@deep list@": "[" * DEEP + "]" * DEEP,
    "@deep object@": '{"a":' * DEEP + "1" + "}" * DEEP,
    "@open@": "[" * DEEP,
    "@digits@": "9" * 5000,
    "@minus@": "-" + "9" * 5000,
    "@huge@": "1e400",
    "@nan@": "NaN",
    "@infinity@": "-Infinity",
    "@surrogate@": '"\\ud800"',
    "@zero@": '"a\\u0000b"',
}
VALUES: tuple[Any, ...] = (
    *RAW,
    -1,
    0,
    1,
    2,
    3,
    7,
    255,
    2**31,
    2**63,
    2**64,
    10**30,
    -(10**30),
    1e308,
    -1e308,
    5e-324,
    0.5,
    "",
    "a",
    "²",
    "1",
    "-4",
    "1e308",
    "a" * 300,
    "../../x",
    "/dev/zero",
    "nul\n",
    True,
    False,
    None,
    [],
    {},
    [[]],
    [None],
    {"": None},
    [1, 2, 3],
    [-1, 0, 1e308],
    ["a"] * 1000,
    [3] * 100,
)


def changed_json(random: Random, data: bytes) -> tuple[bytes, str]:
    """Return a JSON document with one change, or the bytes of one."""
    draw = random.random()
    if draw < 0.2:
        return changed_bytes(random, data)
    if draw < 0.3:
        encoding = random.choice(("utf-16", "utf-16-le", "latin-1", "utf-32", "utf-8-sig"))
        return data.decode("utf-8").replace("a", "ä").encode(encoding, "replace"), f"written as {encoding}"
    content = json.loads(data)
    words = _change(random, content)
    text = json.dumps(content)
    for mark, raw in RAW.items():
        text = text.replace(f'"{mark}"', raw)
    return text.encode(), words


def places(content: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """Yield every place that holds a value: the list or object, the key in it, and the way there."""
    for key in list(content) if isinstance(content, dict) else range(len(content)):
        yield content, key, (*where, key)
        if isinstance(content[key], (dict, list)):
            yield from places(content[key], (*where, key))


def _change(random: Random, content: Any) -> str:
    holder, key, where = random.choice(list(places(content)))
    named = ".".join(map(str, where))
    doing = random.choice(("replace",) * 6 + ("remove", "add", "rename", "repeat", "wrap"))
    if doing == "remove":
        del holder[key]
    elif doing == "add" and isinstance(holder, dict):
        holder[random.choice(("", "unknown", "@", "a" * 300, "\u00e9", *map(str, range(3))))] = random.choice(VALUES)
    elif doing == "rename" and isinstance(holder, dict):
        holder[random.choice(("", "²", "-1", "a" * 300, "\ud800"))] = holder.pop(key)
    elif doing == "repeat" and isinstance(holder[key], list):
        holder[key] = holder[key] * random.choice((2, 100, 10_000))
    elif doing == "wrap":
        holder[key] = random.choice(([holder[key]], {"a": holder[key]}, str(holder[key])))
    else:
        holder[key] = random.choice(VALUES)
        return f"{named} is {str(holder[key])[:80]!r}"
    return f"{named}: {doing}"
