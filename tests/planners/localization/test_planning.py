"""How projections are planned: target, slab, window, pixels, size, depth, batch and epochs, by hand on made measurements."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry
from autoseg.planners.localization.measuring import MeasuredProjection
from autoseg.planners.localization.planning import MEMORY_VALUES, plan
from autoseg.planners.localization.request import Request, prepare, target_of
from autoseg.tasks.localization.level import Known, Level
from autoseg.tasks.localization.options import PlanOptions
from autoseg.tasks.localization.placement import ProjectionPlacement, axes_of
from autoseg.tasks.localization.plan import ProjectionPlans, Target
from autoseg.topology.values import values_put_out
from autoseg.training_images import ChannelMeasures, ImageMeasures
from autoseg.verification.inspection import Inspection

LIKE = ImageMeasures(spacing_mm=(1, 1, 1), volume_ml=1, channels=(ChannelMeasures(low=0, median=1, high=2),))
LABELS = Labels(values={"background": 0, "L3": 3, "L4": 4})
TARGET = Target(name="L3", labels=("L3",))
DEFAULTS = PlanOptions()


def made(cases: int, **changes: Any) -> Dataset:
    training = tuple(Case(name=f"case_{number}", images=(Path(f"/nowhere/case_{number}.nii.gz"),)) for number in range(cases))
    return Dataset(**{"name": "Made", "folder": Path("/nowhere"), "layout": "nnunet", "channel_names": ("MRI",),
                      "file_ending": ".nii.gz", "labels": LABELS, "training": training, **changes})


def measured(
    shape: tuple[int, int, int] = (240, 160, 60), spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), height: int = 32,
    has_level: bool = True, is_known: bool = True, **changes: Any,
) -> MeasuredProjection:
    """A volume that lies straight, without zeros, seen along x; what is found is `height` slices high."""
    geometry = Geometry(spacing_mm)
    axes = axes_of(geometry, "z", "x")
    z, y, x = shape
    placement = ProjectionPlacement(geometry, shape, "z", axes, ((0, z), (0, y), (0, x)), (z, y))
    level = Level(slice=50, first=50 - height / 2, last=50 + height / 2 - 1, column=3.0) if has_level else None
    return MeasuredProjection(**{"channels": 1, "image": LIKE, "placement": placement, "slab": 0.3, "samples": None,
                                 "known": Known(is_known, level if is_known else None), **changes})


def planned(
    *cases: MeasuredProjection, options: PlanOptions = DEFAULTS, target: Target = TARGET, **dataset: Any
) -> ProjectionPlans:
    source = made(len(cases), **dataset)
    inspections = [Inspection(case, [], case.name, entry) for case, entry in zip(source.training, cases, strict=True)]
    return plan(Request(source, options, target, "z", "x"), source, inspections).plans


def test_pixels_are_such_that_what_is_found_covers_16_rows() -> None:
    plans = planned(measured(height=32), measured(height=48), measured(height=64))
    assert plans.pixel_mm == 3.0 and "48 mm high in the median case, and covers 16 rows" in plans.reasons["pixel_mm"]
    absent = [measured(has_level=False)] * 5
    assert planned(measured(height=48), measured(height=48), *absent).pixel_mm == 3.0


def test_of_two_labels_each_covers_16_rows() -> None:
    target = Target(name="the middle between L3 and L4", labels=("L3", "L4"))
    plans = planned(measured(height=64), measured(height=64), target=target)
    assert plans.pixel_mm == 2.0 and "32 mm high in the median case (each label), and covers 16" in plans.reasons["pixel_mm"]


def test_pixels_are_no_coarser_than_64_along_the_longer_edge() -> None:
    plans = planned(*[measured((100, 160, 60), height=90)] * 2)
    assert plans.pixel_mm == 2.5 and plans.reasons["pixel_mm"].startswith("at least 64 pixels along the longer edge")


def test_pixels_are_no_finer_than_voxels_and_no_more_than_512_along_the_longer_edge() -> None:
    fine = planned(*[measured((60, 80, 60), spacing_mm=(5.0, 0.9, 0.9), height=2)] * 2)
    assert fine.pixel_mm == 0.9 and fine.reasons["pixel_mm"] == "no finer than voxels are"  # 10 mm / 16 would be 0.625
    large = planned(*[measured((4000, 80, 60), spacing_mm=(0.5, 0.5, 0.5), height=32)] * 2)
    assert large.pixel_mm == 3.91 and "at most 512 pixels along the longer edge" in large.reasons["pixel_mm"]  # 2000 mm / 512


@pytest.mark.parametrize("known", [{"height": 1}, {"known": Known(True, Level(50.3, 50.3, 50.3))}])
def test_where_no_height_is_known_the_longer_edge_has_128_pixels(known: dict[str, Any]) -> None:
    plans = planned(*[measured((320, 100, 60), **known)] * 2)
    assert plans.pixel_mm == 2.5 and "128 pixels along the longer edge" in plans.reasons["pixel_mm"]


def test_the_slab_holds_what_is_needed_in_nine_of_ten_cases_in_steps_of_a_twentieth() -> None:
    def slab(*needed: float | None) -> float:
        return planned(*[measured(slab=share) for share in needed]).slab

    assert slab(0.31, 0.31) == 0.35 and slab(0.3, 0.3) == 0.3 and slab(0.001, 0.001) == 0.05 and slab(0.97, 1.0) == 1.0
    assert slab(*np.linspace(0.1, 0.5, 11)) == 0.5  # the 90 percentile is 0.46
    assert slab(*np.linspace(0.1, 0.5, 11), None) == 0.5
    nothing = planned(measured(slab=None), measured(slab=None))
    assert nothing.slab == 0.5 and "no label says" in nothing.reasons["slab"]


def test_size_is_the_median_projection_and_depth_halves_while_there_are_8_pixels() -> None:
    """48 mm / 16 is 3 mm: 240 × 160 mm are 80 × 53 pixels. Halved three times, to 10 × 7: multiples of 8."""
    plans = planned(*[measured((height, 160, 60), height=48) for height in (200, 240, 300)])
    assert plans.size == (80, 56) and plans.network.strides == ((1, 1), (2, 2), (2, 2), (2, 2))
    assert plans.network.features == (16, 32, 64, 128) and plans.network.name == "unet3plus" and plans.network.norm == "batch"
    assert "UNet 3+ with 4 stages" in plans.reasons["network"]
    assert (plans.axis, plans.project, plans.target, plans.windows) == ("z", "x", TARGET, (None,))


def test_depth_is_at_most_five_stages_and_can_be_asked_for() -> None:
    cases = [measured((600, 500, 60), height=16)] * 2  # 1 mm pixels
    deep = planned(*cases)
    assert len(deep.network.strides) == len(deep.network.features) == len(deep.network.kernel_sizes) == 5
    assert deep.size[0] % 16 == deep.size[1] % 16 == 0 and deep.size[0] >= 500
    for depth in (2, 6):
        deep_enough = planned(*cases, options=PlanOptions(depth=depth))
        assert len(deep_enough.network.strides) == len(deep_enough.network.convs_per_stage) == depth
        assert f"{depth} stages, as asked for" in deep_enough.reasons["network"]
        assert all(n % 2 ** (depth - 1) == 0 for n in deep_enough.size)
    too_deep = planned(*[measured(height=48)] * 2, options=PlanOptions(depth=8))  # 80 × 53 pixels cannot be halved so often
    assert len(too_deep.network.strides) == 4 and "4 stages, as asked for (of 8 no more fit)" in too_deep.reasons["network"]


def test_what_is_asked_for_is_taken() -> None:
    options = PlanOptions(slab=0.7, window=(2, 98), spacing=2.0, size=(33, 20))
    plans = planned(*[measured()] * 2, options=options)
    assert (plans.slab, plans.percentiles, plans.pixel_mm, plans.options) == (0.7, (2, 98), 2.0, options)
    divisors = [math.prod(stride[axis] for stride in plans.network.strides) for axis in range(2)]
    assert plans.size == tuple(math.ceil(n / divisor) * divisor for n, divisor in zip((33, 20), divisors, strict=True))
    for key in ("slab", "pixel_mm", "size"):
        assert plans.reasons[key].startswith("as asked for")


def test_a_batch_is_as_large_as_memory_allows_between_2_and_8() -> None:
    sizes = [(32, 32), (64, 64), (128, 128), (256, 256), (512, 512), (1024, 1024), (4096, 4096)]
    plans = [planned(*[measured()] * 2, options=PlanOptions(size=size)) for size in sizes]
    allowed = [MEMORY_VALUES / values_put_out(entry.size, entry.network, 1) for entry in plans]
    assert [entry.batch_size for entry in plans] == [min(8, max(2, int(batch))) for batch in allowed]
    assert plans[0].batch_size == 8 and plans[-1].batch_size == 2 and any(2 < entry.batch_size < 8 for entry in plans)


@pytest.mark.parametrize(("cases", "steps", "epochs"), [(2, 300, 12), (25, 450, 18), (100, 900, 36), (2000, 3000, 120)])
def test_epochs_grow_with_the_root_of_the_cases(cases: int, steps: int, epochs: int) -> None:
    plans = planned(*[measured()] * cases)
    assert plans.epochs == epochs and plans.reasons["epochs"].startswith(f"{steps} steps: 90 times the root of {cases} cases")


def test_cases_of_which_nothing_is_known_count_for_no_epoch() -> None:
    plans = planned(*[measured()] * 25, *[measured(is_known=False)] * 75, measured(has_level=False))
    assert plans.epochs == math.ceil(int(90 * math.sqrt(26)) / 25)
    assert ("in 25 of 101 cases; it is not in 1, and not known of 75, which are neither trained nor validated on"
            in plans.reasons["target"])


def test_ct_has_a_window_over_all_cases_and_other_channels_have_none() -> None:
    samples = [np.stack([np.arange(start, start + 501), np.arange(501)]).astype(np.float32) for start in (0, 500)]
    cases = [measured(channels=2, samples=values) for values in samples]
    plans = planned(*cases, channel_names=("CT", "MRI"), options=PlanOptions(window=(10, 90)))
    ct, mri = plans.windows
    low, high = np.percentile(np.concatenate([np.arange(501), np.arange(500, 1001)]), (10, 90))
    assert mri is None and ct is not None and (ct.low, ct.high) == pytest.approx((low, high))
    assert plans.channels == 6 and "CT: 100.1 to 899.9, the 10 and 90 percentiles over the cases" in plans.reasons["windows"]
    assert "MRI: each image from its own 10 to its 90 percentile" in plans.reasons["windows"]


@pytest.mark.parametrize(("cases", "target", "words"), [
    ([measured()], TARGET, "Made: L3 is in case case_0 alone of its 1 training case. A locator needs it in at least 2,"),
    ([measured(has_level=False), measured()], TARGET, "L3 is in case case_1 alone of its 2 training cases"),
    ([measured(has_level=False)] * 2, TARGET, "L3 is in none of its 2 training cases.* Name another label with --find"),
    ([measured(is_known=False)] * 2, Target(name="point", points={}), "point is in none of its 2 .* Add points to the list."),
])
def test_it_must_be_in_two_cases_at_least(cases: list[MeasuredProjection], target: Target, words: str) -> None:
    with pytest.raises(AutosegError, match=words):
        planned(*cases, target=target)


def test_cases_with_errors_are_not_planned_from() -> None:
    source = made(3)
    inspections = [Inspection(case, [], case.name, entry)
                   for case, entry in zip(source.training, (measured(), measured(), None), strict=True)]
    plans = plan(Request(source, DEFAULTS, TARGET, "z", "x"), source, inspections).plans
    assert plans.reasons["target"] == "the middle of L3's extent, in 2 of 2 cases"


def test_labels_are_named_by_name_or_value() -> None:
    assert target_of(LABELS, ["L3"]) == target_of(LABELS, ["3"]) == TARGET
    assert target_of(LABELS, ["L4", "3"]) == Target(name="the middle between L4 and L3", labels=("L4", "L3"))
    digits = Labels(values={"background": 0, "4": 1, "other": 4})
    assert target_of(digits, ["4"]).labels == ("4",)  # a name before a value


def test_a_list_of_points_says_where_the_target_is_whatever_the_labels(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("case,mm\ncase_0,1\ncase_1,\n")
    points: dict[str, float | None] = {"case_0": 1.0, "case_1": None}
    request = prepare(made(2), PlanOptions(points=tmp_path / "points.csv"))
    assert request.target == Target(name="the point", points=points) and not request.dataset.labels.foreground
    named = prepare(made(2), PlanOptions(points=tmp_path / "points.csv", find=("carina", "tip")))
    assert named.target == Target(name="carina tip", points=points) and named.options.points == tmp_path / "points.csv"


@pytest.mark.parametrize(("find", "words"), [
    ([], r"It was not said what is to be found\. Name one label with --find, .* --points\. There are: L3, L4\."),
    (["L3", "L4", "L5"], "3 labels were asked for. Name one label with --find, or two"),
    (["L9"], r"There is no label L9 to be found\. There are: L3, L4\."),
    (["L9", "l3"], "There is no label L9 and no label l3 to be found"),
    (["background"], "There is no label background to be found"), (["0"], "There is no label 0"),
    (["L3", "3"], "L3 was named twice. Name one label, or two different ones."),
])
def test_what_cannot_be_found_is_told_with_the_labels_there_are(find: list[str], words: str) -> None:
    with pytest.raises(AutosegError, match=words):
        target_of(LABELS, find)
    with pytest.raises(AutosegError, match="There are: none but background"):
        target_of(Labels(values={"background": 0}), [])


@pytest.mark.parametrize(("axis", "project", "expected"), [
    ("z", None, ("z", "x")), ("y", None, ("y", "x")), ("x", None, ("x", "y")), ("z", "y", ("z", "y")), ("x", "z", ("x", "z")),
])
def test_the_axis_that_is_projected_away_is_another_one(axis: str, project: str | None, expected: tuple[str, str]) -> None:
    request = prepare(made(2), PlanOptions(find=("L3",), axis=axis, project=project))
    assert (request.axis, request.project) == expected


@pytest.mark.parametrize(("axis", "project", "options", "words"), [
    ("axial", None, {}, r'There is no axis "axial" .* There are: x \(left to right\), y \(front to back\), z \(feet to head\)'),
    ("z", "left", {}, 'There is no axis "left"'),
    ("z", "z", {}, "--axis and --project are both z: .* Choose another one of x, y, z with --project"),
    ("z", "x", {"slab": 0.0}, "A slab of 0.0 was asked for, but .* more than 0 and at most 1"),
    ("z", "x", {"slab": 1.5}, "A slab of 1.5"), ("z", "x", {"slab": math.nan}, "A slab of nan"),
    ("z", "x", {"window": (99.0, 1.0)}, r"percentiles \(99.0, 1.0\) was asked for, but two rising numbers of 0 to 100"),
    ("z", "x", {"window": (5.0, 5.0)}, "two rising numbers"), ("z", "x", {"window": (-1.0, 99.0)}, "two rising"),
    ("z", "x", {"window": (1.0, 101.0)}, "two rising"), ("z", "x", {"window": (1.0, math.nan)}, "two rising numbers"),
    ("z", "x", {"spacing": 0.0}, "Pixels of 0.0 mm were asked for, but their edge must be longer than 0"),
    ("z", "x", {"spacing": math.inf}, "Pixels of inf mm"), ("z", "x", {"spacing": math.nan}, "Pixels of nan mm"),
    ("z", "x", {"size": (64, 7)}, r"A size of \(64, 7\) pixels was asked for, but 8 × 8 are needed at least"),
    ("z", "x", {"depth": 1}, "A depth of 1 was asked for, but networks have 2 to 8 stages"),
    ("z", "x", {"depth": 9}, "A depth of 9"),
])
def test_options_that_cannot_be_are_told(axis: str, project: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AutosegError, match=words):
        prepare(made(2), PlanOptions(find=("L3",), axis=axis, project=project, **options))


@pytest.mark.parametrize(("options", "message"), [
    ({"spacing": 1e-9}, "Pixels of 1e-09 mm were asked for, but projections would have"),
    ({"spacing": 0.01}, "have 24000 × 16000 pixels. Each edge must have 4 to 4096"),
    ({"spacing": 500.0}, "have 0 × 0 pixels"), ({"size": (100000, 64)}, "These sizes were asked for, but .* 100000 × 64 pixels"),
])
def test_projections_that_are_too_large_or_too_small_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AutosegError, match=message):
        planned(measured(), measured(), options=PlanOptions(**options))


def test_the_network_sees_positions_where_the_level_lies_at_the_same_share_of_scans() -> None:
    """By hand: levels at slices 40 to 58 of 240 lie 0.8 % apart; the head is up, so that rows count from slice 239 down."""
    def at(slice_: int) -> MeasuredProjection:
        return measured(**{"known": Known(True, Level(slice=slice_, first=slice_ - 16, last=slice_ + 15, column=3.0))})

    alike = planned(*[at(40 + 2 * number) for number in range(10)])
    assert alike.position
    assert "at 79% of the scan's rows, with a standard deviation of 2.4% over 10 cases" in alike.reasons["position"]
    assert not planned(*[at(40 + 2 * number) for number in range(9)]).position  # too few to know
    assert not planned(*[at(20 + 20 * number) for number in range(11)]).position
