"""Rules of planning a classifier: how volumes are seen, rare classes, covariates that give the class away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.planners.classification.measuring import MeasuredView, findings, giving_away
from autoseg.planners.classification.planning import plan
from autoseg.planners.classification.request import Request
from autoseg.tasks.classification.options import PlanOptions
from autoseg.tasks.classification.plan import ClassPlans, Covariate, Target
from autoseg.tasks.classification.targets import Known
from autoseg.training_images import ChannelMeasures, ImageMeasures
from autoseg.verification.inspection import Inspection


def view(spacing_mm: tuple[float, float, float] = (1, 1, 1), extent: tuple[int, int, int] = (40, 60, 50)) -> MeasuredView:
    z, y, x = extent
    return MeasuredView(
        channels=1, picture=z == 1, gray=z == 1, spacing_mm=spacing_mm, box=((0, z), (5, 5 + y), (0, x)), samples=None,
        orientation="LPS", image=ImageMeasures(
            spacing_mm=(1, 1, 1), volume_ml=1, channels=(ChannelMeasures(low=0, median=1, high=2),)))


def planned(classes: str, measured: MeasuredView, known: Known | None = None, **options: object) -> tuple[ClassPlans, list[str]]:
    """Plans of a case for each letter, which is its class; and what the findings say."""
    cases = tuple(Case(name=f"case{number:02d}", images=(Path(f"case{number:02d}.nii.gz"),)) for number in range(len(classes)))
    dataset = Dataset(name="D", folder=Path("D"), layout="nnunet", channel_names=("MRI",), file_ending=".nii.gz",
                      labels=Labels(values={"background": 0}), training=cases)
    names = tuple(sorted(set(classes)))
    target = Target(kind="classes", name="class", classes=names,
                    of_case={case.name: (names.index(letter),) for case, letter in zip(cases, classes, strict=True)})
    its = Known(target, where=Path("targets.csv")) if known is None else Known(
        target, known.covariates, known.cells, where=Path("targets.csv"))
    request = Request(dataset, PlanOptions.model_validate(options), its)
    inspections = [Inspection(case, [], case.name, measured) for case in cases]
    return plan(request, dataset, inspections).plans, [finding.problem for finding in findings(request, inspections)]


def test_rare_classes_are_drawn_as_often_as_others_and_fewer_than_folds_are_told() -> None:
    even, said = planned("aaaaaabbbbbb", view())
    assert (even.sampling, even.loss) == ("even", "cross_entropy") and not said
    rare, said = planned("a" * 20 + "bbb", view())
    assert rare.sampling == "balanced" and "6.7 times as many" in rare.reasons["sampling"]
    assert said == ["fewer cases than the 5 folds have: b (3 cases)"]
    with pytest.raises(AutosegError, match=r"too few cases of class \(a: 5, b: 1\)"):
        planned("aaaaab", view())


def test_volumes_are_seen_whole_or_by_slices_and_pictures_flat() -> None:
    whole = planned("aabb", view())[0]
    assert (whole.view, whole.spacing_mm, whole.size, whole.network.dimensions) == ("volume", (1, 1, 1), (40, 64, 56), 3)
    thick = planned("aabb", view((5, 1, 1), (20, 200, 160)))[0]
    assert thick.view == "slices" and thick.spacing_mm == (5, 1.56, 1.56)
    assert thick.size[1] == 128 and thick.network.dimensions == 2
    assert planned("aabb", view((5, 1, 1), (20, 200, 160)), view="volume")[0].view == "volume"
    flat = planned("aabb", view(extent=(1, 200, 100)), edge=64)[0]
    assert (flat.view, flat.spacing_mm, flat.size, flat.seen) == ("picture", None, (1, 64, 32), (64, 32))
    coarse = planned("aabb", view(extent=(40, 60, 50)), edge=24)[0]
    assert coarse.spacing_mm == (2.5, 2.5, 2.5) and max(coarse.size) == 24
    for plans in (whole, thick, flat, coarse):
        seen = plans.seen[-plans.network.dimensions:]
        assert all(size % by == 0 for size, by in zip(seen, plans.network.reduction, strict=True))


def test_a_covariate_that_is_another_word_for_the_class_is_told() -> None:
    classes = "ab" * 6
    covariates = (Covariate(name="dose", kind="number"), Covariate(name="ward", kind="category", categories=("A", "B")),
                  Covariate(name="age", kind="number"))
    ages = np.random.default_rng(0).permutation(12)
    cells = {f"case{number:02d}": (str(-number % 2 * 10 + number / 100), letter.upper(), str(ages[number]))
             for number, letter in enumerate(classes)}
    known = Known(Target(kind="classes", name="class", classes=("a", "b"), of_case={
        case: (int(number % 2),) for number, case in enumerate(cells)}), covariates, cells)
    assert giving_away(known) == {"dose": 1.0, "ward": 1.0}
    said = planned(classes, view(), known)[1]
    assert [text for text in said if "alone tells the class (AUROC 1.000)" in text] == said and len(said) == 2
