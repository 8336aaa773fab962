"""demo: the whole main job on a small synthetic dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg.api.common import PathLike
from autoseg.api.evaluation import evaluate
from autoseg.api.planning import plan_and_preprocess
from autoseg.api.prediction import predict_files
from autoseg.api.training import train
from autoseg.demo import make_synthetic_dataset
from autoseg.evaluation.summary import Summary


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: the learning curves, and the evaluation of the test images."""

    progress_png: Path
    summary_json: Path
    summary: Summary


def demo(output: PathLike, quiet: bool = False) -> DemoResult:
    """Make a synthetic dataset in `output`, and plan, train, predict and evaluate it: a few minutes on two cores."""
    root = Path(output)
    workspace = root / "workspace"
    source = make_synthetic_dataset(root)
    plan_and_preprocess(source, ["3d_fullres"], workspace=workspace, quiet=quiet)
    result = train(source.name, 0, epochs=8, iterations=15, settings=["momentum=0.95"], workspace=workspace, quiet=quiet)
    predict_files(source / "imagesTs", root / "segmentations", workspace=workspace, quiet=quiet)
    evaluation = evaluate(source / "labelsTs", root / "segmentations", labels=source, quiet=quiet)
    return DemoResult(result.folder / "progress.png", evaluation.path, evaluation.summary)
