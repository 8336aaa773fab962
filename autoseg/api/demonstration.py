"""demo: the whole main job on a small synthetic dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.api.common import PathLike
from autoseg.api.evaluation import evaluate
from autoseg.api.prediction import predict_files
from autoseg.api.running import run
from autoseg.demo import NAME, make_synthetic_dataset
from autoseg.evaluation.summary import Summary

EPOCHS, ITERATIONS = 4, 20  # per fold: enough to find kidneys and tumours


@dataclass(frozen=True)
class DemoResult:
    """The results of the demo: the report of the cross-validation, and the evaluation of the test images."""

    report: Path
    summary_json: Path
    summary: Summary


def demo(output: PathLike, quiet: bool = False) -> DemoResult:
    """Make a synthetic dataset in `output`, run the whole job on it, and predict and evaluate its test images."""
    root = Path(output)
    workspace = root / "workspace"
    source = root / NAME
    if not (source / "dataset.json").exists():  # written last
        make_synthetic_dataset(root)
    result = run(source, configurations=["3d_fullres"], epochs=EPOCHS, iterations=ITERATIONS, workspace=workspace,
                 quiet=quiet)
    predict_files(source / "imagesTs", root / "segmentations", workspace=workspace, quiet=quiet)
    evaluation = evaluate(source / "labelsTs", root / "segmentations", labels=source, quiet=quiet)
    return DemoResult(result.report, evaluation.files[0], evaluation.summary)
