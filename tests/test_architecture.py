"""Who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

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


def test_nothing_reads_pickles() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text and "allow_pickle=True" not in text, path
        assert "torch.load(" not in text or "weights_only=True" in text, path
