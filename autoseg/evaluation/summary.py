"""A folder of predictions against a folder of references: summary.json in nnU-Net's form, and tables to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.markup import escape
from rich.table import Table

from autoseg import image_io, layouts
from autoseg.dataset import Labels, grid_differences, load_labels
from autoseg.errors import AutosegError
from autoseg.evaluation.metrics import ConfusionCounts, class_keys, class_names, counts_by_class, mean_without_nan
from autoseg.parallel import run_parallel
from autoseg.plan import Frozen
from autoseg.voxels import joint_counts
from autoseg.workspace import write_json

WORTH_A_PROCESS = 2**28  # bytes of all label files, decompressed, below which further processes cost more than they save
BYTES_PER_VOXEL = 6  # reference and prediction, each with its reader's copy
CLASSES_IN_CASE_TABLE = 8


class Volumes(Frozen):
    """Of one class in one case, ml."""

    prediction: float
    reference: float


class CaseSummary(Frozen):
    """One case. metrics: by class key, then by metric: Dice, IoU, FP, TP, FN, TN, n_pred, n_ref (voxels)."""

    metrics: dict[str, dict[str, int | float]]
    prediction_file: str
    reference_file: str
    volumes_ml: dict[str, Volumes]

    @property
    def case(self) -> str:
        return layouts.stem(Path(self.reference_file))


class Summary(Frozen):
    """As nnU-Net's summary.json, with volumes and failures besides.

    foreground_mean: mean over the classes that occur. mean: by class key, over the cases where the metric is not nan.
    names: in dataset.json, by class key. failed: what kept a case from being evaluated, by case name.
    """

    foreground_mean: dict[str, float]
    mean: dict[str, dict[str, float]]
    metric_per_case: tuple[CaseSummary, ...]
    names: dict[str, str] = {}
    failed: dict[str, str] = {}


class Pair(NamedTuple):
    """A prediction and its reference."""

    case: str
    reference: Path
    prediction: Path

    def __str__(self) -> str:
        return f"case {self.case}"


class _Compared(NamedTuple):
    pair: Pair
    joint: dict[tuple[int, int], int]
    voxel_ml: float


def evaluate_folder(
    reference_dir: Path, prediction_dir: Path, labels: Labels | None = None, workers: int | None = None
) -> Summary:
    """Evaluate every reference against the prediction of the same name, whatever the endings.

    labels: None to take those of a dataset.json in either folder or in the one above the references (labelsTr), or
    where there is none, one class per value that occurs. A reference without prediction, an unreadable file and a
    prediction on another grid are entered in `failed`; the other cases are evaluated. Raises AutosegError where no
    prediction at all has a reference.
    """
    references, predictions = _label_files(reference_dir), _label_files(prediction_dir)
    pairs = [Pair(case, references[case], predictions[case]) for case in sorted(references.keys() & predictions)]
    if not pairs:
        raise AutosegError(
            f"No prediction in {prediction_dir} has the name of a reference in {reference_dir}. Predictions: "
            f"{_some(predictions)}; references: {_some(references)}. Give the folder of references first.")
    missing = dict.fromkeys(sorted(references.keys() - predictions), f"no prediction in {prediction_dir}")
    return evaluate_pairs(pairs, labels or _labels_beside(reference_dir, prediction_dir), missing, workers)


def evaluate_pairs(
    pairs: Sequence[Pair], labels: Labels | None, failed: dict[str, str] | None = None, workers: int | None = None
) -> Summary:
    """Evaluate given files. labels: None for one class per value that occurs. failed: to be entered as they are."""
    bytes_per_pair, bytes_of_all = _memory(pairs)
    processes = workers if bytes_of_all > WORTH_A_PROCESS else 1
    failed, compared = dict(failed or {}), []
    for outcome in run_parallel(_compare, pairs, bytes_per_pair, processes):
        if outcome.error is None:
            compared.append(outcome.value)
        else:
            failed[outcome.item.case] = str(outcome.error)
    compared.sort(key=lambda entry: entry.pair.case)
    return _summarize(compared, labels or _labels_that_occur(compared), failed)


def write_summary(path: Path, summary: Summary) -> None:
    """Write summary.json; nan is written as NaN, as nnU-Net and Python's json do."""
    write_json(path, summary)


def summary_table(summary: Summary) -> Table:
    """Each class's means over the cases, and the foreground's; volumes in ml."""
    table = Table(title=f"Mean of {len(summary.metric_per_case)} case(s)")
    table.add_column("class")
    for column in ("Dice", "IoU", "predicted ml", "reference ml", "cases with it"):
        table.add_column(column, justify="right")
    for key, mean in summary.mean.items():
        volumes = [case.volumes_ml[key] for case in summary.metric_per_case]
        table.add_row(
            escape(summary.names.get(key, key)), _number(mean["Dice"]), _number(mean["IoU"]),
            _volume(mean_without_nan([volume.prediction for volume in volumes])),
            _volume(mean_without_nan([volume.reference for volume in volumes])),
            str(sum(case.metrics[key]["n_ref"] > 0 for case in summary.metric_per_case)))
    table.add_section()
    table.add_row("foreground", _number(summary.foreground_mean["Dice"]), _number(summary.foreground_mean["IoU"]))
    return table


def cases_table(summary: Summary) -> Table:
    """Each case's mean Dice and, for up to eight classes, each class's Dice."""
    keys = list(summary.mean) if len(summary.mean) <= CLASSES_IN_CASE_TABLE else []
    table = Table(title="Dice of each case")
    table.add_column("case")
    for column in ("mean", *(escape(summary.names.get(key, key)) for key in keys)):
        table.add_column(column, justify="right")
    for case in summary.metric_per_case:
        dice = {key: metrics["Dice"] for key, metrics in case.metrics.items()}
        table.add_row(escape(case.case), _number(mean_without_nan(list(dice.values()))), *(_number(dice[key]) for key in keys))
    return table


def failures_table(summary: Summary) -> Table:
    """What kept cases from being evaluated; cases of one reason share a row."""
    cases_by_reason: dict[str, list[str]] = {}
    for case, reason in summary.failed.items():
        cases_by_reason.setdefault(reason, []).append(case)
    table = Table("cases", "why", title=f"{len(summary.failed)} case(s) not evaluated")
    for reason, cases in cases_by_reason.items():
        table.add_row(escape(", ".join(cases)), escape(reason))
    return table


def _label_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise AutosegError(f"{folder} is no folder. Expected a folder of label files.")
    files: dict[str, Path] = {}
    for path in layouts.visible_files(folder):
        if path.name.lower().endswith(image_io.ENDINGS):
            other = files.setdefault(layouts.stem(path), path)
            if other != path:
                raise AutosegError(f"{other} and {path} are both called {layouts.stem(path)}. Leave only one of them.")
    return files


def _some(files: dict[str, Path]) -> str:
    names = [path.name for path in files.values()][:3]
    return (", ".join(names) + (", ..." if len(files) > 3 else "")) if names else "none"


def _labels_beside(reference_dir: Path, prediction_dir: Path) -> Labels | None:
    for folder in (prediction_dir, reference_dir, reference_dir.resolve().parent):
        if (folder / "dataset.json").is_file():
            return load_labels(folder / "dataset.json")
    return None


def _labels_that_occur(compared: Iterable[_Compared]) -> Labels:
    values = {value for entry in compared for pair in entry.joint for value in pair}
    return Labels(values={"background": 0, **{str(value): value for value in sorted(values - {0})}})


def _memory(pairs: Sequence[Pair]) -> tuple[int, int]:
    """Bytes of the largest pair, and of all, from the headers; files that cannot be read are left to the readers."""
    sizes = []
    for pair in pairs:
        try:
            (channels, z, y, x), _, _ = image_io.read_geometry(pair.reference)
            sizes.append(BYTES_PER_VOXEL * channels * z * y * x)
        except AutosegError:
            continue
    return max(sizes, default=0), sum(sizes)


def _compare(pair: Pair) -> _Compared:
    reference, prediction = image_io.read_label(pair.reference), image_io.read_label(pair.prediction)
    if differing := grid_differences(reference, prediction):
        raise AutosegError(
            f"{pair}: the prediction {pair.prediction} does not lie on the grid of its reference {pair.reference}: "
            f"{differing}. Predict the image again, or resample the prediction.")
    for path, image in ((pair.reference, reference), (pair.prediction, prediction)):
        if image.array.size and image.array.min() < 0:
            raise AutosegError(f"{pair}: {path} holds the negative label value {image.array.min()}.")
    z_mm, y_mm, x_mm = reference.geometry.spacing_mm
    return _Compared(pair, joint_counts(reference.array[0], prediction.array[0]), z_mm * y_mm * x_mm / 1000)


def _summarize(compared: Sequence[_Compared], labels: Labels, failed: dict[str, str]) -> Summary:
    cases = tuple(_case_summary(entry, labels) for entry in compared)
    names = list(_metrics(ConfusionCounts(0, 0, 0, 0)))
    mean = {
        key: {name: mean_without_nan([case.metrics[key][name] for case in cases]) for name in names}
        for key in class_keys(labels)
    }
    foreground_mean = {name: mean_without_nan([of_class[name] for of_class in mean.values()]) for name in names}
    return Summary(foreground_mean=foreground_mean, mean=mean, metric_per_case=cases, names=class_names(labels), failed=failed)


def _case_summary(entry: _Compared, labels: Labels) -> CaseSummary:
    counts = counts_by_class(entry.joint, labels)
    return CaseSummary(
        metrics={key: _metrics(of_class) for key, of_class in counts.items()},
        prediction_file=str(entry.pair.prediction), reference_file=str(entry.pair.reference),
        volumes_ml={
            key: Volumes(prediction=of_class.n_pred * entry.voxel_ml, reference=of_class.n_ref * entry.voxel_ml)
            for key, of_class in counts.items()
        })


def _metrics(counts: ConfusionCounts) -> dict[str, int | float]:
    return {
        "Dice": counts.dice, "FN": counts.fn, "FP": counts.fp, "IoU": counts.iou, "TN": counts.tn, "TP": counts.tp,
        "n_pred": counts.n_pred, "n_ref": counts.n_ref,
    }


def _number(value: float) -> str:
    return f"{value:.3f}" if value == value else "nan"


def _volume(value: float) -> str:
    return f"{value:.4g}" if value == value else "nan"
