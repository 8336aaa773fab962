"""A cascade's second stage in prediction: what it sees of the first, in which order, on which grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.plan import Configuration
from autoseg.preprocessing.pipeline import preprocess_image
from autoseg.preprocessing.resample import resize_labels
from autoseg.sides import Mirroring
from autoseg.tasks.segmentation.cascade import (
    LabelsLater,
    TileDone,
    WithPrevious,
    input_channels,
    on_grid,
    previous_channels,
    previous_values,
)
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel, ModelDescription
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.ways import Way

CPU = torch.device("cpu")
SIDED = Labels(values={"background": 0, "kidney_l": 1, "other": 2, "kidney_r": 3})
REGIONS = Labels(values={"background": 0, "whole": (2, 5), "core": 5, "ignore": 7}, regions_class_order=(2, 5), ignore=7)


class Given:
    """A first stage that gives these label values, whatever the image."""

    facts, in_words = {"weights": "0"}, "what is given"

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.called = labels, 0

    def labels_later(self, image: Image, name: str) -> LabelsLater:
        def make(tile_done: TileDone | None) -> np.ndarray:
            self.called += 1
            return self.labels

        return LabelsLater(make)

    def expected_tiles(self, image: Image) -> int:
        return 3


class Copies(nn.Module):
    """A network that puts out what the previous stage segmented: a class's logit is 1 there, and background's 1/2."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.channels, self.classes = channels, classes

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        seen = x[:, self.channels:]
        assert seen.shape[1] == self.classes - 1 and set(seen.unique().tolist()) <= {0.0, 1.0}
        return [torch.cat((torch.full_like(seen[:, :1], 0.5), seen), dim=1)]


def second(description: ModelDescription, **changes: Any) -> ModelDescription:
    its = description.configuration.model_copy(update={"previous_stage": "first", **changes})
    return description.model_copy(update={"plans": description.plans.model_copy(update={"configurations": {"tiny": its}})})


def random_labels(shape: tuple[int, ...], highest: int) -> np.ndarray:
    coarse = np.random.default_rng(1).integers(0, highest + 1, [-(-n // 3) for n in shape]).astype(np.uint8)
    fine = coarse.repeat(3, 0).repeat(3, 1).repeat(3, 2)
    return fine[tuple(slice(n) for n in shape)]


def test_each_label_value_has_a_channel_behind_the_image_in_ascending_order(describe: Any) -> None:
    assert previous_values(SIDED) == (1, 2, 3)
    assert previous_values(REGIONS) == (2, 5)  # values, not regions, and not what is to be ignored
    assert previous_channels(np.array([0, 5, 2, 7]), (2, 5)).astype(int).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    description = describe(channels=2, labels=REGIONS)
    assert input_channels(description.configuration, REGIONS) == 2
    assert input_channels(second(description).configuration, REGIONS) == 4
    first_convolution = next(iter(second(description).build().state_dict().values()))
    assert first_convolution.shape[1] == 4


@pytest.mark.parametrize("name", ["", "..", "../3d_lowres", "a/b", "a\\b"])
def test_a_previous_stage_is_a_name_and_no_path(name: str, describe: Any) -> None:
    content = second(describe()).configuration.model_dump() | {"previous_stage": name}
    with pytest.raises(ValidationError, match="previous_stage must be the name of a configuration"):
        Configuration.model_validate(content)


def test_a_part_is_the_image_s_and_the_channels_of_that_part_alone() -> None:
    image = np.random.default_rng(0).normal(size=(2, 5, 6, 7)).astype(np.float32)
    labels, asked = random_labels((5, 6, 7), 3), []

    def make(tile_done: TileDone | None) -> np.ndarray:
        asked.append(1)
        return labels

    both = WithPrevious(image, LabelsLater(make), (1, 2, 3))
    assert both.shape == (5, 5, 6, 7) and not asked
    whole = np.concatenate((image, [labels == 1, labels == 2, labels == 3])).astype(np.float32)
    for box in ((slice(0, 5), slice(0, 6), slice(0, 7)), (slice(1, 3), slice(2, 6), slice(0, 1))):
        part = both[(slice(None), *box)]
        assert part.dtype == np.float32 and np.array_equal(part, whole[(slice(None), *box)])
    assert asked == [1]


@pytest.mark.parametrize("shape", [(8, 8, 8), (13, 17, 11)])
def test_the_second_stage_sees_what_the_first_segmented_in_every_tile(shape: tuple[int, int, int], describe: Any) -> None:
    labels, image = random_labels(shape, 3), Image(np.ones((2, *shape), np.float32), Geometry((1.0, 1.0, 1.0)))
    given = Given(labels)
    model = LoadedModel(second(describe(channels=2, labels=SIDED, mirror_axes=(0, 1, 2))), [Copies(2, 4)], ("0",))
    predictor = Predictor([model], CPU, precision="float32", previous=[given])
    assert np.array_equal(predictor.predict_image(image), labels) and given.called == 1
    assert predictor.expected_tiles(image) > 3
    with pytest.raises(AutosegError, match="case x: the model .*goes on from the segmentation by first, and none is given"):
        Predictor([model], CPU, precision="float32").predict_image(image, "x")


def test_the_tiles_of_both_stages_count_as_progress(describe: Any) -> None:
    image = Image(np.ones((1, 13, 17, 11), np.float32), Geometry((1.0, 1.0, 1.0)))
    first = Predictor([LoadedModel(describe(labels=SIDED), [describe(labels=SIDED).build().eval()], ("0",))], CPU, "float32")
    model = LoadedModel(second(describe(labels=SIDED)), [Copies(1, 4)], ("0",))
    alone, shares = list[float](), list[float]()
    first.predict_image(image, progress=lambda case, share: alone.append(share))
    Predictor([model], CPU, "float32", previous=[first]).predict_image(image, progress=lambda case, share: shares.append(share))
    assert len(shares) == 2 * len(alone) == 2 * 3 * 4 * 2  # both have the same grid and patch
    assert shares == pytest.approx(np.arange(1, 49) / 48)


def test_labels_are_brought_to_the_grid_as_the_image_is(describe: Any) -> None:
    """The image lies upside down, has a margin of zeros and other voxels than the model."""
    labels = np.zeros((12, 9, 10), np.uint8)
    labels[2:11, 1:8, 2:9] = random_labels((9, 7, 7), 3)
    array = np.zeros((1, *labels.shape), np.float32)
    array[0, 2:11, 1:8, 2:9] = 1
    image = Image(array, Geometry((2.0, 1.0, 3.0)))
    its = describe(labels=SIDED, transpose=(2, 0, 1), spacing_mm=(1.5, 2.5, 1.0))
    _, properties = preprocess_image(image, "x", its.plans, its.configuration)
    cropped = labels[2:11, 1:8, 2:9].transpose(2, 0, 1)
    assert properties.shape_resampled == (14, 7, 7)
    assert np.array_equal(on_grid(labels, properties), resize_labels(np.ascontiguousarray(cropped), (14, 7, 7)))


@pytest.mark.parametrize("mirroring", [False, True])
def test_where_a_mirrored_tile_swaps_left_and_right_so_do_its_channels(mirroring: bool, describe: Any) -> None:
    labels = random_labels((8, 8, 8), 3)
    description = second(describe(labels=SIDED, mirror_axes=(0, 2))).model_copy(
        update={"swap_axes": (2,), "swapped": (("kidney_l", "kidney_r"),)})
    predictor = Predictor([LoadedModel(description, [Copies(1, 4)], ("0",))], CPU, "float32",
                          Way(axes=None if mirroring else ()), previous=[Given(labels)])
    image = Image(np.ones((1, 8, 8, 8), np.float32), Geometry((1.0, 1.0, 1.0)))
    assert np.array_equal(predictor.predict_image(image), labels)


def test_labels_that_become_one_when_swapped_share_its_channel(describe: Any) -> None:
    """1 and 2 lie in the left region alike, and have 3 as their mirror image, which has 1."""
    regions = Labels(values={"background": 0, "all": (1, 2, 3), "left": (1, 2), "right": 3}, regions_class_order=(1, 1, 3))
    description = second(describe(labels=regions)).model_copy(update={"swapped": (("left", "right"),)})
    member = EnsembleMember(LoadedModel(description, [], ("0",)), CPU)
    assert member.mirroring == Mirroring((), (), (("left", "right"),))
    tile = torch.tensor([9.0, 1.0, 0.0, 0.0, 7.0, 0.0, 1.0, 0.0, 5.0, 0.0, 0.0, 1.0]).view(3, 4, 1, 1)
    assert member._swap_before(tile).view(3, 4).tolist() == [[9, 0, 0, 1], [7, 0, 0, 1], [5, 1, 0, 0]]
