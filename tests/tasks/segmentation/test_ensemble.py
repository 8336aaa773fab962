"""Ensembles: what comes out of the pass in lock-step, against the mean of whole arrays."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from skimage.transform import resize
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.inference.sliding_window import stream_logits
from autoseg.preprocessing.pipeline import preprocess_image
from autoseg.preprocessing.store import CaseProperties
from autoseg.tasks.segmentation import ensemble
from autoseg.tasks.segmentation.ensemble import label_volumes
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.tasks.segmentation.store import plans_digest, write_volume

CPU = torch.device("cpu")
REGIONS = Labels(values={"background": 0, "whole": (1, 2), "core": 2}, regions_class_order=(1, 2))
ISOTROPIC = {"patch_size": (8, 8, 8)}
COARSE = {"patch_size": (6, 10, 8), "spacing_mm": (1.9, 1.3, 1.6)}
SLICES = {"patch_size": (9, 12), "spacing_mm": (1.4, 0.9)}


class Channels(nn.Module):
    """Logits are the image's channels, in another order and `scale` times as large."""

    def __init__(self, scale: float, *order: int) -> None:
        super().__init__()
        self.scale, self.order = scale, list(order)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.scale * x[:, self.order]]


class Constant(nn.Module):
    """The same logits everywhere."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [self.logits.view(1, -1, *[1] * (x.dim() - 2)).expand(len(x), -1, *x.shape[2:])]


def model_of(description: Any, *networks: nn.Module) -> LoadedModel:
    return LoadedModel(description, list(networks), tuple(map(str, range(len(networks)))))


def ensemble_of(*models: LoadedModel, **options: Any) -> Predictor:
    return Predictor(models, CPU, precision="float32", **options)


def random_image(channels: int, shape: tuple[int, ...] = (13, 18, 16)) -> Image:
    """With a border that the crop takes away, along two axes."""
    array = np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)
    array[:, :2] = 0
    array[:, :, :, -3:] = 0
    return Image(array, Geometry((1.5, 1.0, 1.2)))


def probabilities_on_the_whole_image(model: LoadedModel, image: Image) -> np.ndarray:
    """(K, Z, Y, X) in the image's own axes, inside the crop: every array at full size, resized by scikit-image."""
    description = model.description
    data, properties = preprocess_image(image, "x", description.plans, description.configuration)
    patch, classes = description.configuration.patch_size, description.labels.output_channels
    slabs = [slab for _, slab in stream_logits(lambda tile: model.networks[0](tile)[0], data, patch, classes)]
    logits = np.concatenate(slabs, axis=1).astype(np.float64)
    on_grid = np.stack([resize(k, properties.shape_cropped, order=1, mode="edge", anti_aliasing=False) for k in logits])
    probabilities = expit(on_grid) if description.labels.has_regions else softmax(on_grid, axis=0)
    return probabilities.transpose(0, *(1 + np.argsort(properties.transpose)))


def check(labels: np.ndarray, mean: np.ndarray, has_regions: bool) -> None:
    """Labels (Z, Y, X) of the whole image against mean probabilities inside its crop, wherever these are no tie."""
    inside = labels[2:, :, :-3]
    if has_regions:
        expected = np.where(mean[1] > 0.5, 2, np.where(mean[0] > 0.5, 1, 0))
        is_clear = (np.abs(mean - 0.5) > 1e-5).all(axis=0)
    else:
        expected, ranked = mean.argmax(axis=0), np.sort(mean, axis=0)
        is_clear = ranked[-1] - ranked[-2] > 1e-5
    assert is_clear.mean() > 0.999
    assert (inside[is_clear] == expected[is_clear]).all()
    assert labels.astype(int).sum() == inside.astype(int).sum()


@pytest.mark.parametrize("transpose", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize(("one", "other"), [(ISOTROPIC, COARSE), (ISOTROPIC, SLICES), (COARSE, SLICES)])
def test_models_of_any_spacing_and_dimensions_are_averaged_as_whole_arrays_would_be(
    one: Any, other: Any, transpose: Any, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "STRIP_BYTES", 4 * 3 * 16 * 5)  # several strips a row, the last one shorter
    models = [model_of(describe(3, **one, transpose=transpose), Channels(1, 0, 1, 2)),
              model_of(describe(3, **other, transpose=transpose), Channels(2, 1, 2, 0))]
    image = random_image(3)
    mean = np.mean([probabilities_on_the_whole_image(model, image) for model in models], axis=0)
    check(ensemble_of(*models).predict_image(image), mean, has_regions=False)


def test_three_models_are_averaged_too(describe: Any) -> None:
    models = [model_of(describe(3, **plan), Channels(scale, *order))
              for plan, scale, order in ((ISOTROPIC, 1, (0, 1, 2)), (COARSE, 3, (1, 2, 0)), (SLICES, 2, (2, 0, 1)))]
    image = random_image(3)
    mean = np.mean([probabilities_on_the_whole_image(model, image) for model in models], axis=0)
    check(ensemble_of(*models).predict_image(image), mean, has_regions=False)


def test_regions_are_painted_where_their_mean_probability_is_above_one_half(describe: Any) -> None:
    models = [model_of(describe(2, **ISOTROPIC, labels=REGIONS), Channels(1, 0, 1)),
              model_of(describe(2, **SLICES, labels=REGIONS), Channels(3, 1, 0))]
    image = random_image(2)
    mean = np.mean([probabilities_on_the_whole_image(model, image) for model in models], axis=0)
    check(ensemble_of(*models).predict_image(image), mean, has_regions=True)


def test_probabilities_are_averaged_and_not_logits(describe: Any) -> None:
    sure, unsure = Constant(0, 20, 0), Constant(5, -25, 0)  # p(1) = 1 and 0, p(0) = 0 and 0.993; mean logit of 0: 2.5
    both = ensemble_of(model_of(describe(1), sure), model_of(describe(1), unsure))
    image = Image(np.ones((1, 4, 5, 6), np.float32), Geometry((1.0, 1.0, 1.0)))
    assert (both.predict_image(image) == 1).all()
    assert (ensemble_of(model_of(describe(1), sure, unsure)).predict_image(image) == 0).all()  # as folds of one model


@pytest.mark.parametrize("labels", [None, REGIONS])
def test_saved_probabilities_of_an_ensemble_are_the_mean_of_its_members(
    labels: Labels | None, describe: Any, tmp_path: Path
) -> None:
    models = [model_of(describe(3 if labels is None else 2, **plan, labels=labels), Channels(scale, *order))
              for plan, scale, order in ((ISOTROPIC, 1, (0, 1, 2)[: 3 if labels is None else 2]),
                                         (SLICES, 2, (1, 0, 2)[: 3 if labels is None else 2]))]
    image = random_image(3 if labels is None else 2)
    segmentation = ensemble_of(*models).predict_image(image, save_probabilities=tmp_path / "both.b2nd")
    alone = []
    for number, model in enumerate(models):
        ensemble_of(model).predict_image(image, save_probabilities=tmp_path / f"{number}.b2nd")
        alone.append(blosc2.open(str(tmp_path / f"{number}.b2nd"), mode="r")[...].astype(np.float32))
    file = blosc2.open(str(tmp_path / "both.b2nd"), mode="r")
    np.testing.assert_allclose(file[...], np.mean(alone, axis=0), atol=1e-3)
    assert file.schunk.vlmeta["kind"] == ("softmax" if labels is None else "sigmoid")
    if labels is None:
        assert (segmentation[2:, :, :-3] == file[...].argmax(0)).mean() > 0.99


def test_combinations_of_one_pass_are_those_that_each_predictor_gives(describe: Any) -> None:
    models = [model_of(describe(3, **plan), Channels(scale, *order))
              for plan, scale, order in ((ISOTROPIC, 1, (0, 1, 2)), (COARSE, 3, (1, 2, 0)), (SLICES, 2, (2, 0, 1)))]
    image = random_image(3)
    predictor = ensemble_of(*models)
    prepared = [member.preprocess(image, "x") for member in predictor.members]
    seen: list[tuple[str, float]] = []
    combinations = [(0,), (1,), (2,), (0, 1), (0, 2), (2, 1), (0, 1, 2)]
    volumes = predictor.predict_combinations(prepared, combinations, lambda *counts: seen.append(counts))
    for combination, volume in zip(combinations, volumes, strict=True):
        alone = ensemble_of(*(models[index] for index in combination)).predict_image(image)
        assert volume.dtype == np.uint8 and (volume == alone).all(), combination
    assert len({volume.tobytes() for volume in volumes}) == len(volumes)
    tiles = sum(member.count_tiles(data) for member, (data, _) in zip(predictor.members, prepared, strict=True))
    assert seen == [("x", done / tiles) for done in range(1, tiles + 1)]


def test_a_model_that_no_combination_names_is_not_run(describe: Any) -> None:
    idle = model_of(describe(3), Channels(1, 7, 7, 7))  # fails where it is run
    models = [idle, model_of(describe(3), Channels(1, 0, 1, 2)), model_of(describe(3), Channels(2, 1, 2, 0))]
    predictor, image = ensemble_of(*models), random_image(3)
    prepared = [member.preprocess(image, "x") for member in predictor.members]
    one, both = predictor.predict_combinations(prepared, [(2,), (1, 2)])
    assert (one == ensemble_of(models[2]).predict_image(image)).all()
    assert (both == ensemble_of(*models[1:]).predict_image(image)).all()


def test_models_that_see_the_same_array_share_it(describe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocessed: list[Any] = []
    preprocess = EnsembleMember.preprocess
    monkeypatch.setattr(EnsembleMember, "preprocess", lambda *a: preprocessed.append(a) or preprocess(*a))
    models = [model_of(describe(3, patch_size=patch), Channels(scale, *order))
              for patch, scale, order in (((8, 8, 8), 1, (0, 1, 2)), ((6, 7, 9), 2, (1, 2, 0)))]
    image = random_image(3)
    labels = ensemble_of(*models).predict_image(image)
    assert len(preprocessed) == 1
    check(labels, np.mean([probabilities_on_the_whole_image(model, image) for model in models], axis=0), has_regions=False)


def test_members_go_through_a_case_row_by_row_and_never_hold_it_whole() -> None:
    classes, size = 20, (40, 64, 48)
    case = CaseProperties(
        case="x", shape_original=size, spacing_mm=(1.0, 1.0, 1.0), transpose=(0, 1, 2), versions={},
        crop_box=((0, 40), (0, 64), (0, 48)), shape_cropped=size, shape_resampled=size, spacing_resampled_mm=(1.0, 1.0, 1.0))
    labels = Labels(values={"background": 0, **{f"organ{k}": k for k in range(1, classes)}})
    pulled = [0, 0]

    def rows(member: int) -> Iterator[tuple[int, np.ndarray]]:
        rng = np.random.default_rng(member)
        for row in range(size[0]):
            pulled[member] += 1
            assert abs(pulled[0] - pulled[1]) <= 1
            yield row, rng.random((classes, *size[1:]), np.float32)

    tracemalloc.start()
    try:
        label_volumes([rows(0), rows(1)], [(0, 1)], case, labels)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    row_bytes = 4 * classes * size[1] * size[2]
    assert peak < 8 * row_bytes + 2 * np.prod(size)  # of 40 rows; and labels, cropped and in the image's own grid


@pytest.mark.parametrize(("other", "message"), [
    ({"classes": 4}, r"their labels differ \(class1 1, class2 2 against class1 1, class2 2, class3 3\)"),
    ({"channels": 2}, r"their channels differ \(channel0 against channel0, channel1\)"),
    ({"transpose": (1, 0, 2)}, r"planned with different axis orders \(as stored, \(0, 1, 2\) against as stored, \(1, 0, 2\)\)"),
    ({"labels": Labels(values={"background": 0, "class1": 2, "class2": 1})}, r"class1 1, class2 2 against class2 1, class1 2"),
])
def test_models_that_do_not_fit_together_are_refused_with_what_differs(other: Any, message: str, describe: Any) -> None:
    with pytest.raises(AutosegError, match=f"Dataset001_Tiny tiny default and .* cannot be averaged: .*{message}"):
        ensemble_of(model_of(describe(1, 3), Constant(0, 1, 0)), model_of(describe(**{"channels": 1, **other}), Constant(0, 1)))


def test_regions_in_another_order_are_other_outputs(describe: Any) -> None:
    straight, turned = (
        Labels(values={"background": 0, **dict(regions)}, regions_class_order=order)
        for regions, order in (([("both", (1, 2)), ("cyst", 3)], (1, 3)), ([("cyst", 3), ("both", (1, 2))], (3, 1))))
    with pytest.raises(AutosegError, match=r"both 1\+2, cyst 3; painted as \(1, 3\) against cyst 3, both 1\+2"):
        ensemble_of(*(model_of(describe(2, labels=labels), Channels(1, 0, 1)) for labels in (straight, turned)))


def test_a_case_whose_image_changed_between_two_preprocessings_is_refused(describe: Any) -> None:
    models = [model_of(describe(3, **plan), Channels(1, 0, 1, 2)) for plan in (ISOTROPIC, SLICES)]
    predictor = ensemble_of(*models)
    prepared = [member.preprocess(random_image(3, shape), "x")
                for member, shape in zip(predictor.members, ((13, 18, 16), (13, 19, 16)), strict=True)]
    with pytest.raises(AutosegError, match="case x: its preprocessed versions do not come from one image: shape_original"):
        predictor.predict_combinations(prepared, [(0, 1)])


def test_a_case_that_other_plans_preprocessed_is_refused(describe: Any, tmp_path: Path) -> None:
    """A dataset that was planned anew has other voxels: the model would predict them without a word."""
    description = describe(3, **ISOTROPIC)
    (member,) = ensemble_of(model_of(description, Channels(1, 0, 1, 2))).members
    data, properties = member.preprocess(random_image(3), "x")
    digest = plans_digest(description.labels, description.plans, description.configuration)
    write_volume(tmp_path, data, data[:1].astype(np.int8), properties, description.labels, plans=digest)
    read, again = member.read_preprocessed(tmp_path, "x")
    assert np.array_equal(read, data) and again == properties
    other = describe(3, **COARSE)
    (planned_anew,) = ensemble_of(model_of(other, Channels(1, 0, 1, 2))).members
    with pytest.raises(AutosegError, match=r"case x: .* preprocessed by other plans .* the model tiny, default .*--restart"):
        planned_anew.read_preprocessed(tmp_path, "x")


def test_labels_are_postprocessed_on_the_images_own_grid(describe: Any) -> None:
    seen = []

    def clear(labels: np.ndarray, spacing_mm: Any) -> np.ndarray:
        seen.append((labels.shape, spacing_mm))
        return np.zeros_like(labels)

    model = model_of(describe(3, transpose=(1, 0, 2)), Channels(1, 0, 1, 2))
    predictor, image = ensemble_of(model, postprocess=clear), random_image(3)
    assert predictor.predict_image(image).max() == 0
    assert seen == [((13, 18, 16), (1.5, 1.0, 1.2))]
    assert predictor.predict_preprocessed(*predictor.members[0].preprocess(image, "x")).max() == 2  # validation: as it is


@pytest.mark.parametrize(("members", "band_bytes", "where"), [
    (1, 299, "cuda"), (1, 301, "cpu"), (2, 149, "cuda"), (2, 151, "cpu")])
def test_members_share_a_devices_memory(
    members: int, band_bytes: int, where: str, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 1000))
    member = EnsembleMember(model_of(describe(), Constant(0, 1, 0)), torch.device("cuda"), "float32", members=members)
    assert member._band_device(band_bytes).type == where


def test_memory_that_runs_out_names_the_way_out_of_an_ensemble(describe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(ensemble, "probabilities_of", no_memory)
    models = [model_of(describe(3, **plan), Channels(1, 0, 1, 2)) for plan in (ISOTROPIC, SLICES)]
    with pytest.raises(AutosegError, match=r"case x: memory ran out .* or with one of the 2 models alone \(-m\)"):
        ensemble_of(*models).predict_image(random_image(3), "x")
