"""Label values of every integer and floating-point type, and up to the largest, count as NumPy counts them by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel
import numpy as np
import pytest

from autoseg.best import KeepLargest
from autoseg.components.graph import component_graph
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.case import Pair, case_summary, compare, labels_that_occur
from autoseg.image_io import read_label
from autoseg.planners.segmentation.anatomy import measure_labels
from autoseg.postprocessing.files import postprocess_files
from autoseg.voxels import count_pairs, count_values

TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64", ">i4", ">u8")
REFERENCE, PREDICTION = np.zeros((2, 6, 7, 8), np.int64)
REFERENCE[1:4, 1:4, 1:4], REFERENCE[5, 6, 7] = 1, 2  # 27 voxels and 1
PREDICTION[1:4, 1:4, 2:5], PREDICTION[5, 6, 7] = 1, 2  # 27, of which 18 are right, and 1


def written(path: Path, labels: np.ndarray, dtype: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(labels.astype(dtype).T, np.eye(4), dtype=np.dtype(dtype)), path)
    return path


def pair_of(folder: Path, types: tuple[str, str], times: int = 1) -> Pair:
    return Pair("a", written(folder / "reference/a.nii.gz", REFERENCE * times, types[0]),
                written(folder / "prediction/a.nii.gz", PREDICTION * times, types[1]))


@pytest.mark.parametrize("labels", [None, Labels(values={"all": (1, 2), "lesion": (2,)}, regions_class_order=(1, 2))])
def test_every_pair_of_types_gives_the_same_metrics(tmp_path: Path, labels: Labels | None) -> None:
    found = []
    for types in itertools.product(TYPES, repeat=2):
        compared = compare(pair_of(tmp_path, types), labels, 1.0)
        found.append(case_summary(compared, labels or labels_that_occur(compared.joint)).metrics)
    assert all(metrics == found[0] for metrics in found)
    first = next(iter(found[0].values()))
    assert first["Dice"] == pytest.approx(2 * 18 / 54 if labels is None else 2 * 19 / 56)
    assert (first["lesion_TP"], first["lesion_FP"]) == (1 if labels is None else 2, 0)
    assert first["HD95"] == 1.0


@pytest.mark.parametrize(("dtype", "value"), [
    ("uint16", 30_000), ("uint32", 2**31 - 1), ("int32", 2**30 - 1), ("uint64", 3 * 10**9), ("int64", 2**62 - 1),
    ("float64", 3 * 10**9), ("float32", 2**23)])
def test_large_values_are_counted_as_small_ones_are(tmp_path: Path, dtype: str, value: int) -> None:
    compared = compare(pair_of(tmp_path, (dtype, dtype), value), None, 1.0)
    metrics = case_summary(compared, labels_that_occur(compared.joint)).metrics
    assert metrics[str(value)]["Dice"] == pytest.approx(36 / 54) and metrics[str(2 * value)]["Dice"] == 1.0
    assert metrics[str(value)]["HD95"] == 1.0 and metrics[str(2 * value)]["lesion_TP"] == 1
    labels = read_label(written(tmp_path / "a.nii.gz", REFERENCE * value, dtype)).array[0]
    assert count_values(labels) == {0: REFERENCE.size - 28, value: 27, 2 * value: 1}
    measured, components = measure_labels(labels, (1.0, 1.0, 1.0), None)
    assert {key: (label.volume_ml, label.components) for key, label in measured.items()} == {
        str(value): (0.027, 1), str(2 * value): (0.001, 1)}
    assert components == 2
    graph = component_graph(labels, (1.0, 1.0, 1.0))
    assert sorted(zip(graph.values.tolist()[1:], graph.voxels.tolist()[1:], strict=True)) == [(value, 27), (2 * value, 1)]


@pytest.mark.parametrize("dtype", TYPES)
def test_post_processing_keeps_the_values_of_every_type(tmp_path: Path, dtype: str) -> None:
    source = written(tmp_path / "in/a.nii.gz", REFERENCE, dtype)
    outcome, = postprocess_files([source], tmp_path / "out", [KeepLargest(labels=(1, 2), count=1)], workers=1)
    assert outcome.error is None
    expected = np.where(REFERENCE == 2, 0, REFERENCE)
    np.testing.assert_array_equal(np.asanyarray(nibabel.load(outcome.value).dataobj).T, expected)


@pytest.mark.parametrize(("mine", "theirs"), [*itertools.product(("uint64", "uint32", "int64", "int8"), repeat=2)])
def test_pairs_of_extreme_values_are_counted(mine: str, theirs: str) -> None:
    values, others = ([int(np.iinfo(dtype).min), 0, 1, int(np.iinfo(dtype).max)] for dtype in (mine, theirs))
    pairs = list(itertools.product(values, others))
    found = count_pairs(np.array([one for one, _ in pairs], mine), np.array([other for _, other in pairs], theirs))
    assert found == {pair: pairs.count(pair) for pair in pairs}


def test_what_no_type_holds_exactly_is_refused_with_the_file(tmp_path: Path) -> None:
    for dtype, value in (("uint64", 2**64 - 1), ("float32", 2**25), ("float64", 2**54)):
        labels = np.zeros((2, 3, 4), dtype)
        labels[0, 0, 0] = value
        path = written(tmp_path / "a.nii.gz", labels, dtype)
        with pytest.raises(AutosegError, match=r"a\.nii\.gz"):
            read_label(path)
