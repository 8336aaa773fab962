"""report: all that is known of a dataset, in one page."""

from __future__ import annotations

from pathlib import Path

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike, in_workspace, planned_for
from autoseg.errors import AutosegError
from autoseg.files import write_text
from autoseg.provenance import require_replaceable
from autoseg.workspace import DatasetFolder, Workspace

GENERATOR = b'<meta name="generator" content="autoseg">'  # in the page's head


def report(dataset: PathLike, workspace: PathLike | None = None, quiet: bool = False) -> Path:
    """Write report.html into the dataset's folder in the workspace; return its path. It shows what is there so far.

    Raises AutosegError where the dataset has been planned for no task.
    """
    place = Workspace.at(workspace)
    folder = in_workspace(str(dataset), place)
    if not any(folder.plans_of(info).exists() for info in tasks.task_infos()):
        folder = planned_for(dataset, place, tasks.default_task())
    require_replaceable(folder.report_html, _is_report)
    with console.progress(f"Report on {folder.name}", quiet):
        page = build_report(folder)
    write_text(folder.report_html, page)
    return folder.report_html


def _is_report(path: Path) -> bool:
    with open(path, "rb") as file:
        return GENERATOR in file.read(4096)


def build_report(folder: DatasetFolder) -> str:
    """Return the HTML page about a dataset, with what each task contributes. What is missing is named, with its command.

    Raises AutosegError where the dataset has not been planned, or all of its plans are damaged.
    """
    from autoseg.reporting.artefacts import read_dataset
    from autoseg.reporting.page import build_page

    parts, damaged = [], list[str]()
    for task in tasks.TASKS:
        try:
            if (part := task.report.task_report(folder, tasks.task_infos())) is not None:
                parts.append(part)
        except AutosegError as error:
            damaged.append(str(error))
    if not parts:
        raise AutosegError(damaged[0] if damaged else (
            f"{folder.name} has not been planned. Run: autoseg_plan_and_preprocess {folder.name}"))
    found = read_dataset(folder)
    found.troubles[:0] = damaged
    return build_page(found, parts)
