"""verify and repair: what is wrong with a dataset."""

from __future__ import annotations

from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike, segments
from autoseg.dataset import find_dataset, load_dataset
from autoseg.kinds import ANOMALY
from autoseg.verification.findings import Finding, findings_table
from autoseg.verification.inspection import verify_dataset
from autoseg.verification.repair import find_mapping, repair_labels
from autoseg.workspace import Workspace


def verify(
    dataset: PathLike, workers: int | None = None, workspace: PathLike | None = None, quiet: bool = False
) -> list[Finding]:
    """Read every file of a dataset and list what is wrong with it. workers: at most so many processes."""
    source = load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))
    with console.progress(f"Checking {source.name}", quiet) as report:
        findings = verify_dataset(source, workers, console.counted(report, len(source.training) + len(source.test)))
    if findings and not quiet:
        console.show(findings_table(findings))
    return findings


def planner_for(dataset: PathLike, workspace: PathLike | None = None) -> str:
    """The name of the planner that suits a dataset: "default", or "slices" where there is nothing to segment."""
    return "default" if segments(load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))) else ANOMALY.configuration


def repair(
    dataset: PathLike, target: PathLike, workers: int | None = None, workspace: PathLike | None = None, quiet: bool = False
) -> list[Finding]:
    """Write a copy of a dataset to `target` in which wrong label values (255 for 1, ...) are mended.

    The dataset itself stays as it is; images are not copied. Returns the cases that could not be mended and are left out.
    """
    source = load_dataset(find_dataset(str(dataset), Workspace.at(workspace)))
    mapping = find_mapping(source, workers)
    findings = repair_labels(source, mapping, Path(target), workers)
    if not quiet:
        console.show(f"Label values: {', '.join(f'{value} became {meant}' for value, meant in mapping.items())}.")
        if findings:
            console.show(findings_table(findings))
    return findings
