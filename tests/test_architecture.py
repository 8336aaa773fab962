"""Who may import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from autoseg.api.tasks import TASKS as TABLE
from autoseg.api.tasks import task_infos
from autoseg.networks import NETWORKS

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("planners", "trainers", "postprocessing")
FILES = sorted(
    path for folder in ("autoseg", *FOLDERS) for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)


def imports_of(path: Path) -> set[str]:
    """Full names of the modules that a file imports, at whatever depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def forbidden_for(path: Path) -> tuple[str, ...]:
    """Prefixes that a file may not import."""
    room, *rest = path.relative_to(ROOT).parts
    if room in FOLDERS:
        return (*(f"autoseg.{other}" for other in FOLDERS if other != room), "autoseg.api", "autoseg.cli")
    if rest[0] in ("api", "__init__.py"):
        return ("autoseg.cli",)
    if rest[0] == "cli":
        return ("numpy", "torch", "rich")
    return (*(f"autoseg.{other}" for other in FOLDERS), "autoseg.api", "autoseg.cli")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    found = imports_of(path)
    wrong = [name for name in found for prefix in forbidden_for(path) if name == prefix or name.startswith(f"{prefix}.")]
    assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"
    assert not found & set(FOLDERS), "code imports by the full name, autoseg.planners, never planners"


def test_commands_import_the_api_and_the_standard_library_only() -> None:
    for path in (ROOT / "autoseg" / "cli").glob("*.py"):
        names = {name for name in imports_of(path) if name.startswith("autoseg.")}
        assert all(name.startswith(("autoseg.api", "autoseg.cli")) for name in names), path


def test_nothing_imports_in_a_circle() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
    named = {name if name.startswith("autoseg") else f"autoseg.{name}": path for name, path in modules.items()}
    graph = {
        name: {other for other in imports_of(path) if other in named and other != name} for name, path in named.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join([*trail, name])}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def room_of(module: str) -> str:
    """The folder or file directly in its wing, as "autoseg.inference", or a task's folder, as "autoseg.tasks.anomaly"."""
    return ".".join(module.split(".")[: 3 if module.startswith("autoseg.tasks.") else 2])


def test_no_import_runs_upward() -> None:
    """The rooms of the core stand on each other in one order: there is no circle of rooms either."""
    core = [path for path in FILES if path.relative_to(ROOT).parts[0] == "autoseg"
            and path.relative_to(ROOT).parts[1] not in ("api", "cli", "__init__.py")]
    below: dict[str, set[str]] = {}
    for path in core:
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        there = {room_of(name) for name in imports_of(path) if name.startswith("autoseg.")}
        below.setdefault(room, set()).update(name for name in there if name != room and name != "autoseg.tasks")
    while below:
        lowest = {room for room, others in below.items() if not others & below.keys()}
        assert lowest, f"a circle of rooms: {below}"
        below = {room: others for room, others in below.items() if room not in lowest}


TASKS = tuple(sorted(path.name for path in (ROOT / "autoseg" / "tasks").iterdir() if (path / "__init__.py").exists()))


def is_shared(path: Path) -> bool:
    """Whether a file belongs to no task and is not the table of tasks."""
    wing, *rest = path.relative_to(ROOT).parts
    of_a_task = (rest[:1] == ["tasks"] and len(rest) > 2) or (wing in FOLDERS and rest[0] in TASKS)
    return not of_a_task and rest != ["api", "tasks.py"]


def names_in(path: Path) -> set[str]:
    """The words of all names and texts of a code file, in lower case, names written together split; without docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value) for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body and isinstance(node.body[0], ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if id(node) not in docstrings:
            found += [text for _, value in ast.iter_fields(node) for text in (value if isinstance(value, list) else [value])
                      if isinstance(text, str)]
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", " ".join(found)).lower()
    return set(re.findall(r"[a-z0-9]+", split))


@pytest.mark.parametrize("path", [path for path in FILES if is_shared(path)], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_shared_file_names_no_task_nor_its_recipe(path: Path) -> None:
    """So that a new task is a folder in each wing and a row in `TASKS`. "default" is a word of its own, a UNet 3+ a network."""
    recipes = {name for task in TABLE for name in task.trainer.RECIPES} - {"default", *NETWORKS}
    others_own = {"locator"} if "set_major_locator" in path.read_text(encoding="utf-8") else set()  # matplotlib's word
    others_own |= {"segmentation"} if path.parent.name == "dicom" else set()  # and DICOM's, for a kind of file
    guided = "classification_guided" in path.read_text(encoding="utf-8")
    others_own |= {"classification"} if guided else set()  # a part of a UNet 3+ (Huang et al. 2020)
    said = set(re.findall(r"[a-z0-9]+", path.read_text(encoding="utf-8").lower())) - {"segmentation"}  # in docstrings, English
    named = (names_in(path) | said) & {*TASKS, *recipes} - others_own
    assert not named, f"{path.relative_to(ROOT)} names {named}"
    assert not any(name.startswith(f"autoseg.tasks.{task}") for name in imports_of(path) for task in TASKS)


def test_every_task_has_a_folder_in_each_wing_and_a_row() -> None:
    assert sorted(info.name for info in task_infos()) == list(TASKS) and len(TASKS) >= 3
    for task in TASKS:
        assert all((ROOT / wing / task / "__init__.py").is_file() for wing in ("planners", "trainers", "autoseg/tasks"))


def test_nothing_reads_pickles() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text and "allow_pickle=True" not in text, path
        assert "torch.load(" not in text or "weights_only=True" in text, path
