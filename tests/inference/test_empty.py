"""The part of an image that may hold objects, against boxes that are worked out by hand, and what is put around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.image import Geometry, Image
from autoseg.inference.empty import background_logits, levels_of, part_with_objects
from autoseg.plan import Emptiness, IntensityStatistics
from autoseg.tasks.segmentation.cascade import LabelsLater, WithPrevious
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.ways import Way

CPU = torch.device("cpu")
SKIP = Way(axes=(), skip_empty=True)
INTENSITIES = {"0": IntensityStatistics(mean=0, std=1, median=0, percentile_00_5=-1, percentile_99_5=9)}


class Brighter(nn.Module):
    """Class 1 where the image is above 2. It counts the patches that it sees."""

    seen = 0

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.seen += len(x)
        return [torch.cat((torch.full_like(x[:, :1], 2.0), x[:, :1]), dim=1)]


def described(describe: Any, patch_size: tuple[int, ...] = (8, 8, 8), scheme: str = "ct", level: float | None = 1.5) -> Any:
    """A model of one channel and two classes, whose plans know what is empty."""
    its = describe(1, 2, patch_size)
    configuration = its.configuration.model_copy(update={"normalization": (scheme,)})
    plans = its.plans.model_copy(update={
        "foreground_intensities": INTENSITIES, "configurations": {its.configuration_name: configuration},
        "empty": Emptiness(levels=(level,), near_mm=2, reason="")})
    return its.model_copy(update={"plans": plans})


def with_objects() -> np.ndarray:
    """(1, 40, 40, 40): air of -1, and something of 5 in z 20 to 22, y 18 to 20, x 30 to 33."""
    image = np.full((1, 40, 40, 40), -1, np.float32)
    image[0, 20:23, 18:21, 30:34] = 5
    return image


def predictor_of(description: Any, way: Way) -> Predictor:
    return Predictor([LoadedModel(description, [Brighter()], ("0",))], CPU, "float32", way)


@pytest.mark.parametrize(("patch", "expected"), [
    ((8, 8, 8), ((16, 27), (14, 25), (26, 38))),  # 2 mm and a quarter of the patch, 2 voxels, on each side
    ((8, 8), ((18, 25), (14, 25), (26, 38))),  # slices need no neighbours
    ((16, 16, 16), ((14, 30), (11, 27), (24, 40))),  # as large as a patch, moved inside the image
    ((64, 64, 64), ((0, 40), (0, 40), (0, 40))),
])
def test_the_part_is_what_reaches_the_level_with_its_surroundings(patch: tuple[int, ...], expected: Any) -> None:
    found = part_with_objects(with_objects(), [1.5], (1, 1, 1), 2, patch)
    if patch == (16, 16, 16):  # 15, 15 and 16 voxels wide before
        assert [stop - start for start, stop in found] == [16, 16, 16]
        assert all(start <= first and last <= stop for (start, stop), (first, last) in zip(
            found, ((14, 29), (12, 27), (24, 40)), strict=True))
    else:
        assert found == expected


def test_without_a_level_the_part_is_where_a_channel_is_not_constant() -> None:
    around = np.pad(np.random.default_rng(0).normal(size=(1, 6, 6, 6)).astype(np.float32), [(0, 0), *[(20, 14)] * 3])
    assert part_with_objects(around, [None], (1, 1, 2), 2, (8, 8, 8)) == ((15, 31), (15, 31), (16, 30))
    assert part_with_objects(around * 0, [None], (1, 1, 1), 2, (8, 8, 8)) == ((0, 40),) * 3  # nothing tells: all of it


def test_any_channel_tells(describe: Any) -> None:
    both = np.concatenate((with_objects(), np.zeros((1, 40, 40, 40), np.float32)))
    both[1, 3, 3, 3] = 1
    assert part_with_objects(both, [1.5, None], (1, 1, 1), 2, (8, 8, 8)) == ((0, 27), (0, 25), (0, 38))


def test_levels_are_known_only_for_the_normalization_that_they_were_learned_with(describe: Any) -> None:
    for scheme, level, expected in (("ct", 1.5, [1.5]), ("ct", None, []), ("zscore", None, [None]), ("zscore", 1.5, [])):
        its = described(describe, scheme=scheme, level=level)
        assert levels_of(its.plans, its.configuration) == expected
    assert levels_of(its.plans.model_copy(update={"empty": None}), its.configuration) == []


@pytest.mark.parametrize("patch_size", [(8, 8, 8), (8, 8)])
def test_fewer_tiles_give_the_same_labels(patch_size: tuple[int, ...], describe: Any) -> None:
    image = Image(with_objects() + 2, Geometry((1.0, 1.0, 1.0)))  # nothing is 0, so nothing is cropped
    image.array[...] -= 0.5
    full, skipping = (predictor_of(described(describe, patch_size), way) for way in (Way(axes=()), SKIP))
    labels = [each.predict_image(image) for each in (full, skipping)]
    assert np.array_equal(*labels) and labels[0].sum() == 3 * 3 * 4
    few, many = (each.members[0].model.networks[0].seen for each in (skipping, full))
    assert 0 < few < many / 5
    data, properties = full.members[0].preprocess(image, "x")
    assert few == skipping.members[0].evaluations(skipping.narrowed([(data, properties)])[0][0].shape, [()])


@pytest.mark.parametrize("tile_sums", ["float32", "float16"])
def test_what_lies_around_is_background_for_sure_and_rows_lack_nowhere(tile_sums: str, describe: Any) -> None:
    description = described(describe).model_copy(update={"tile_sums": tile_sums})
    member = EnsembleMember(LoadedModel(description, [Brighter()], ("0",)), CPU, "float32", SKIP)
    _, properties = member.preprocess(Image(with_objects() + 2, Geometry((1.0, 1.0, 1.0))), "x")
    rows = list(member.rows(member.narrowed(with_objects(), properties), properties))
    assert [row for row, _ in rows] == list(range(40))
    assert (rows[0][1][0] == 10).all()
    assert (rows[20][1][1, :14] == 0).all() and np.allclose(rows[20][1][1, 18:21, 30:34], 5, atol=0.01)


def test_background_of_regions_is_the_absence_of_each() -> None:
    assert background_logits(3, has_regions=False).tolist() == [10, 0, 0]
    assert background_logits(2, has_regions=True).tolist() == [-10, -10]
    labels = Labels(values={"background": 0, "all": (1, 2), "core": 2}, regions_class_order=(1, 2))
    assert not labels.from_logits(background_logits(2, True).reshape(2, 1, 1, 1)).any()


def test_a_part_of_a_second_stage_sees_the_same_labels_made_once() -> None:
    made, image = [], with_objects()
    labels = (image[0] > 0).astype(np.uint8)
    whole = WithPrevious(image, LabelsLater(lambda tile_done: made.append(1) or labels, 3), (1,))
    part = whole.part(((15, 30), (10, 25), (20, 40)))
    every = (slice(None), slice(0, 15), slice(0, 15), slice(0, 20))
    assert part.tiles == 3 and np.array_equal(part[every], whole[:, 15:30, 10:25, 20:40]) and made == [1]


def test_the_record_tells_whether_what_is_empty_was_skipped(tmp_path: Any, describe: Any) -> None:
    full, skipping = (predictor_of(described(describe), way) for way in (Way(axes=()), SKIP))
    assert "skip_empty" not in str(full.facts) and "skip_empty" in str(skipping.facts)
