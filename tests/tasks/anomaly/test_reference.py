"""What is known of cases, from each of its forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.reference import Reference, references_of_dataset, references_of_labels, references_of_table


def dataset(labels: dict[str, int | tuple[int, ...]], **more: object) -> Dataset:
    cases = (Case(name="a", images=(Path("a.nii.gz"),), label=Path("la.nii.gz")), Case(name="b", images=(Path("b.nii.gz"),)))
    return Dataset.model_validate({
        "name": "D", "folder": Path("D"), "layout": "nnunet", "channel_names": ("MRI",), "file_ending": ".nii.gz",
        "labels": Labels(values=labels, ignore=labels.get("ignore")), "training": cases, **more})


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_dataset_says_it_by_case_labels_and_label_files() -> None:
    both = dataset({"background": 0, "lesion": 1, "ignore": 2}, case_labels={"a": "abnormal", "b": "normal"})
    assert references_of_dataset(both) == {"a": Reference("abnormal", Path("la.nii.gz"), 2), "b": Reference("normal")}
    assert references_of_dataset(dataset({"background": 0, "lesion": 1})) == {"a": Reference(label=Path("la.nii.gz"))}
    only_words = dataset({"background": 0}, case_labels={"a": "normal"})
    assert references_of_dataset(only_words) == {"a": Reference("normal")}  # a label without foreground says nothing


def test_a_dataset_that_says_nothing_is_told_so() -> None:
    with pytest.raises(AutosegError, match="does not say what is normal: dataset.json has no case_labels, and no case"):
        references_of_dataset(dataset({"background": 0}))


def test_a_folder_of_labels_is_one_reference_per_file(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.png", "notes.txt"):
        (tmp_path / name).touch()
    assert references_of_labels(tmp_path, 3) == {
        "a": Reference(label=tmp_path / "a.nii.gz", ignore=3), "b": Reference(label=tmp_path / "b.png", ignore=3)}


def test_a_table_names_cases_and_slices_in_any_order_of_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "truth.csv", "\ufefftruth, case ,slice\nNormal,a,\nabnormal,b,4\nnormal,b,5\nnormal,c,0\n\n")
    assert references_of_table(path) == {
        "a": Reference("normal"), "b": Reference("abnormal", slices={4: "abnormal", 5: "normal"}),
        "c": Reference(None, slices={0: "normal"})}


@pytest.mark.parametrize("text, message", [
    ("case,label\na,normal\n", "has the columns case, label. Expected the columns case, truth, and perhaps slice."),
    ("case,truth\na,sick\n", "line 2: case 'a', truth 'sick'. Expected case,truth"),
    ("case,truth,slice\na,normal,-1\n", "line 2: case 'a', truth 'normal', slice '-1'"),
    ("case,truth\na,normal\na,abnormal\n", "line 3: case a is abnormal here and normal above"),
    ("case,truth,slice\na,normal,2\na,abnormal,2\n", "line 3: case a, slice 2 is abnormal here"),
    ("case,truth,slice\na,normal,\na,abnormal,2\n", "case a is normal, and one of its slices abnormal"),
    ("case,truth\n", "has no row"),
])
def test_a_table_that_does_not_fit_is_told_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AutosegError, match=message):
        references_of_table(table(tmp_path / "truth.csv", text))
