"""evaluate: outputs of models, compared with the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoseg import console
from autoseg.api import tasks
from autoseg.api.common import PathLike
from autoseg.dataset import find_dataset, load_dataset
from autoseg.options import options_from, require_known
from autoseg.task import Evaluated
from autoseg.workspace import Workspace


def evaluate(
    reference: PathLike, prediction: PathLike, labels: PathLike | None = None, output: PathLike | None = None,
    workspace: PathLike | None = None, quiet: bool = False, workers: int | None = None, **options: Any,
) -> Evaluated:
    """Compare the outputs in a folder with what is true; its tables say of which task they are. Each task says in
    `autoseg.tasks.<task>.evaluation` what it compares, and what `reference` may be.

    labels: dataset whose label names and regions count. output: None for `summary.json` among the predictions; further files lie
    beside it. workers: at most so many processes. options: those of the task (`EvaluateOptions` in
    `autoseg.tasks.<task>.options`), such as tolerance_mm of the normalised surface Dice.
    Raises AutosegError where nothing can be compared.
    """
    place, folder = Workspace.at(workspace), Path(prediction)
    default = tasks.default_task()
    task = next((task for task in tasks.TASKS if task != default and task.evaluation.holds(folder)), default)
    its = {name: value for name, value in options.items() if value is not None}
    require_known({other.info: other.evaluate_options for other in tasks.TASKS}, task.info, its, "name another folder")
    known = None if labels is None else load_dataset(find_dataset(str(labels), place)).labels
    path = Path(output) if output is not None else folder / "summary.json"
    with console.progress("Evaluating", quiet) as report:
        found: Evaluated = task.evaluation.evaluate(
            str(reference), folder, known, path, options_from(task.evaluate_options, its), place, workers, report)
    if not quiet:
        console.show_all(found.shown)
    return found
