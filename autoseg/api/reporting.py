"""report: all that is known of a dataset, in one page."""

from __future__ import annotations

from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike, in_workspace, planned
from autoseg.files import write_text
from autoseg.kinds import KINDS
from autoseg.workspace import Workspace


def report(dataset: PathLike, workspace: PathLike | None = None, quiet: bool = False) -> Path:
    """Write report.html into the dataset's folder in the workspace; the file's path. What is there so far is shown.

    Raises AutosegError where the dataset has been planned for no kind of model.
    """
    from autoseg.evaluation.report import build_report

    place = Workspace.at(workspace)
    folder = in_workspace(str(dataset), place)
    if not any(folder.plans_of(kind).exists() for kind in KINDS):
        folder = planned(str(dataset), place)
    with console.progress(f"Report on {folder.name}", quiet):
        page = build_report(folder)
    write_text(folder.report_html, page)
    return folder.report_html
