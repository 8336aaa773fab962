"""plan_and_preprocess: a dataset checked, measured, planned and preprocessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg import console
from autoseg.api.common import PathLike
from autoseg.dataset import Dataset, find_dataset, load_dataset
from autoseg.errors import AutosegError
from autoseg.plan import Plans
from autoseg.planners import PLANNERS
from autoseg.planners.fingerprint import build_fingerprint, inspection_findings, run_inspection
from autoseg.preprocessing.pipeline import preprocess_dataset
from autoseg.verification.findings import Finding, findings_table
from autoseg.workspace import Workspace, write_json


@dataclass(frozen=True)
class PlanResult:
    """name, folder: of the dataset in the workspace. failed: cases that could not be preprocessed, with the reason."""

    name: str
    folder: Path
    plans: Plans
    failed: dict[str, str] = field(default_factory=dict)


def plan_and_preprocess(
    dataset: PathLike, configurations: Sequence[str] | None = None, planner: str = "default", memory_gb: float = 8.0,
    workers: int | None = None, skip_bad_cases: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> PlanResult:
    """Check a dataset, measure its fingerprint, plan it, and preprocess its cases for each configuration.

    configurations: "2d", "3d_fullres", "3d_lowres"; None for all that were planned. memory_gb: of the GPU.
    Cases that are already preprocessed by the same plans stay as they are.
    """
    if planner not in PLANNERS:
        raise AutosegError(f'There is no planner "{planner}". There are: {", ".join(sorted(PLANNERS))}.')
    place = Workspace.at(workspace)
    source = load_dataset(find_dataset(str(dataset), place))
    folder = place.dataset(source.name)
    inspections = []
    with console.progress(f"Checking and measuring {source.name}", quiet) as report:
        finish = console.counted(report, len(source.training) + len(source.test))
        for inspection in run_inspection(source, workers):
            inspections.append(inspection)
            finish(inspection.case)
    usable = _without_bad_cases(source, inspection_findings(source, inspections), skip_bad_cases, quiet)
    fingerprint = build_fingerprint(usable, inspections)
    plans = PLANNERS[planner](usable, fingerprint, memory_gb)
    chosen = _known_configurations(configurations, plans)
    write_json(folder.dataset_json, usable)
    write_json(folder.fingerprint_json, fingerprint)
    write_json(folder.plans_json, plans)
    failed = {}
    with console.progress(f"Preprocessing for {', '.join(chosen)}", quiet) as report:
        finish = console.counted(report, len(usable.training))
        for outcome in preprocess_dataset(usable, plans, chosen, folder.preprocessed, workers):
            finish(outcome.item)
            if outcome.error is not None:
                failed[outcome.item.name] = str(outcome.error)
    return PlanResult(source.name, folder.root, plans, failed)


def _without_bad_cases(source: Dataset, findings: list[Finding], skip: bool, quiet: bool) -> Dataset:
    """The dataset without the cases that have errors. Raises AutosegError where there are some and `skip` is not set."""
    if findings and not quiet:
        console.show(findings_table(findings))
    errors = [finding for finding in findings if finding.severity == "error"]
    bad = {finding.case for finding in errors}
    if errors and not skip:
        raise AutosegError(
            f"{source.name} has {len(errors)} errors in {len(bad)} cases, listed above. Mend them (autoseg verify "
            f"{source.folder} lists them again), or leave these cases out with --skip-bad-cases."
        )
    usable = tuple(case for case in source.training if case.name not in bad)
    if not usable:
        raise AutosegError(f"{source.name}: no training case is without errors. Mend those that are listed above.")
    return source.model_copy(update={"training": usable})


def _known_configurations(configurations: Sequence[str] | None, plans: Plans) -> list[str]:
    unknown = [name for name in configurations or () if name not in plans.configurations]
    if unknown:
        raise AutosegError(
            f'{plans.dataset} has no configuration {", ".join(unknown)}. Planned were: {", ".join(plans.configurations)}.'
        )
    return list(configurations or plans.configurations)
