"""Checks of a dataset as a whole: between its cases, and in its folder."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from autoseg import layouts
from autoseg.dataset import Case, Dataset
from autoseg.errors import AutosegError, many
from autoseg.groups import patients_of, suspicion
from autoseg.image import Geometry, most_frequent_orientation
from autoseg.image_io import is_series
from autoseg.verification.findings import LEAVE_OUT, Finding
from autoseg.workspace import read_json

SHOWN_FILES = 5
NAME_PATIENTS = (
    "If they are, let the files' names say so (sub-7_run-1.png, sub-7_run-2.png, ...) and plan again, so that no patient is both "
    "trained and validated on. If each case is a patient of its own, ignore this.")


def check_dataset_level(
    dataset: Dataset, digests: Mapping[Case, str | None], case_labels_suffice: bool = True
) -> list[Finding]:
    """Find duplicated images, training cases among the test cases, cases without a label, cases that look like scans of one
    patient, stray files, and faults of dataset.json.

    digests: of training and test cases, as `check_case` gives them. case_labels_suffice: whether a case that is called normal or
    abnormal may be without a label.
    """
    return [
        *_unlabelled(dataset, case_labels_suffice), *_duplicates(dataset, digests), *_training_in_test(dataset, digests),
        *_same_patients(dataset), *_stray_files(dataset), *_description(dataset),
    ]


def _unlabelled(dataset: Dataset, case_labels_suffice: bool) -> Iterator[Finding]:
    for case in dataset.training:
        is_called = case_labels_suffice and case.name in dataset.case_labels
        if case.label is None and dataset.labels.foreground and not is_called:
            yield Finding(case=case.name, file=str(case.images[0]), severity="error", code="no_label",
                          problem="the case has no label", remedy=f"Name its label in dataset.json, {LEAVE_OUT}.")


def _duplicates(dataset: Dataset, digests: Mapping[Case, str | None]) -> Iterator[Finding]:
    first_with: dict[str, Case] = {}
    for case in dataset.training:
        digest = digests.get(case)
        twin = first_with.setdefault(digest, case) if digest else case
        called, twin_called = (dataset.case_labels.get(one.name) for one in (case, twin))
        if called and twin_called and called != twin_called:
            for one, its, other, others in ((case, called, twin, twin_called), (twin, twin_called, case, called)):
                yield Finding(
                    case=one.name, file=str(one.images[0]), severity="error", code="contradiction",
                    problem=f"it is called {its}, but its image is that of case {other.name}, which is called {others}",
                    remedy=f"Leave the one whose name or folder is right, {LEAVE_OUT}.")
        elif twin != case:
            yield Finding(
                case=case.name, file=str(case.images[0]), severity="warning", code="duplicate",
                problem=f"the image is the same as that of case {twin.name}",
                remedy="Leave one of them out: copies in several folds make the cross-validation look better than it is.")


def _training_in_test(dataset: Dataset, digests: Mapping[Case, str | None]) -> Iterator[Finding]:
    test_by_digest: dict[str, list[str]] = defaultdict(list)
    for case in dataset.test:
        if digest := digests.get(case):
            test_by_digest[digest].append(case.name)
    test_names = {case.name for case in dataset.test}
    for case in dataset.training:
        same = test_by_digest.get(digests.get(case) or "", [])
        if same:
            yield Finding(
                case=case.name, file=str(case.images[0]), severity="error", code="in_test",
                problem=f"the image is also test case {', '.join(same)}",
                remedy="Take it out of the test cases, or out of training with --skip-bad-cases.")
        elif case.name in test_names:
            yield Finding(
                case=case.name, file=str(case.images[0]), severity="warning", code="same_name",
                problem="a test case has the same name, with another image",
                remedy="Look whether they are the same patient, and rename one of them.")


def _same_patients(dataset: Dataset) -> Iterator[Finding]:
    patients = patients_of([case.name for case in dataset.training], dataset.groups)
    if patients.suspected:
        problem, remedy = suspicion(patients.suspected)
        named = dataset.layout == "folders"  # which has no dataset.json to write groups into
        yield Finding(
            case="", file=str(dataset.folder if named else dataset.folder / "dataset.json"), severity="warning",
            code="patients", problem=problem, remedy=NAME_PATIENTS if named else remedy)


def _stray_files(dataset: Dataset) -> Iterator[Finding]:
    used = {path for case in (*dataset.training, *dataset.test) for path in (*case.images, case.label) if path}
    inside = {path.parent for path in used if dataset.folder in path.parent.parents and not is_series(path)}
    for folder in sorted(inside):
        stray = [path.name for path in layouts.visible_files(folder) if path not in used and path.suffix != ".json"]
        if stray:
            shown = ", ".join(stray[:SHOWN_FILES]) + (", ..." if len(stray) > SHOWN_FILES else "")
            yield Finding(
                case="", file=str(folder), severity="warning", code="stray_files",
                problem=f"{len(stray)} file(s) belong to no case: {shown}",
                remedy="They are not used. Name them as dataset.json says if they should be.")


def axis_orders(dataset: Dataset, geometries: Mapping[Case, Geometry]) -> Iterator[Finding]:
    """Find training images that are stored in another axis order than most, or that do not say their own."""
    stored = Counter(geometry.orientation for geometry in geometries.values() if geometry.orientation is not None)
    usual = most_frequent_orientation(stored)
    if usual is None:
        return
    if len(stored) > 1:
        counts = ", ".join(f"{order} in {many(count, 'case')}" for order, count in stored.most_common())
        yield Finding(
            case="", file=str(dataset.folder), severity="warning", code="axis_orders",
            problem=f"the images are stored in {len(stored)} axis orders: {counts}",
            remedy=f"Nothing needs to be done if the headers are right: each image is brought to {usual} first, and each result "
                   "back to its image's own order.")
    for case, geometry in geometries.items():
        if geometry.orientation is None:
            yield Finding(
                case=case.name, file=str(case.images[0]), severity="warning", code="no_direction",
                problem=f"the file does not say how its axes run in the patient; other cases do ({usual} most often)",
                remedy=f"It is taken as it is stored, as if it were {usual}. Look whether it is, and correct its header.")


def _description(dataset: Dataset) -> Iterator[Finding]:
    source = dataset.folder / "dataset.json"
    try:
        content = read_json(source)
    except AutosegError:
        return
    expected = content.get("numTraining")
    if isinstance(expected, int) and expected != len(dataset.training):
        yield Finding(
            case="", file=str(source), severity="warning", code="case_count",
            problem=f"numTraining is {expected}, but there are {len(dataset.training)} training cases",
            remedy="Look whether all cases were copied, and correct the number.")
