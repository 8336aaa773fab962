"""Scores of cases, and maps that lie where the image differs from what the detector knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.tasks.anomaly.detector import AnomalyDetector, spread
from autoseg.tasks.anomaly.model import LoadedDetector, load_detector
from autoseg.tasks.anomaly.options import SearchSettings

CPU = torch.device("cpu")
GEOMETRY = Geometry((2.0, 1.0, 1.0))


@pytest.fixture
def loaded(describe_detector: Any, save_detector: Any, tmp_path: Path) -> LoadedDetector:
    """Two folds; axial slices of 16 × 16 pixels."""
    return load_detector(save_detector(tmp_path, describe_detector(), ("0", "1")))


def image(seed: int = 0, slices: int = 5) -> Image:
    return Image(np.random.default_rng(seed).normal(size=(1, slices, 16, 16)).astype(np.float32), GEOMETRY)


def test_maps_and_scores_are_the_difference_to_what_was_generated(loaded: LoadedDetector) -> None:
    one_fold = LoadedDetector(loaded.description, loaded.networks[:1], ("0",))
    settings = SearchSettings(search_steps=4, lambda_=0.25)
    scored = AnomalyDetector(one_fold, CPU, settings, precision="float32").score_image(image(), "a")
    difference = np.abs(scored.real - scored.generated)
    np.testing.assert_allclose(scored.maps, difference.mean(1), atol=1e-6)
    for row in scored.slices:
        assert row.residual is not None and row.discrimination is not None
        assert row.residual == pytest.approx(difference[row.slice].sum(), rel=1e-5)
        assert row.score == pytest.approx(0.75 * row.residual + 0.25 * row.discrimination, rel=1e-5)
        assert (row.case, row.axis, row.steps) == ("a", 0, 4)
    assert scored.anomaly_map is not None and scored.anomaly_map.dtype == np.float32
    assert scored.case.score == scored.case.highest == max(row.score or 0 for row in scored.slices)
    # The image is as large as the slices: the map is theirs, rows and columns of axial slices as they lie in it.
    np.testing.assert_allclose(np.sort(scored.anomaly_map[0].reshape(5, -1)), np.sort(scored.maps.reshape(5, -1)), atol=1e-5)


def test_the_map_lies_in_the_images_own_grid(loaded: LoadedDetector) -> None:
    with torch.no_grad():
        for networks in loaded.networks:
            last = networks.generator.layers[-2]
            last.weight.zero_()
            last.bias.fill_(-10.0)  # generated slices are black
    spot = Image(np.random.default_rng(0).uniform(1, 2, (1, 6, 40, 30)).astype(np.float32), GEOMETRY)
    spot.array[0, 4, 21:25, 6:10] = 9
    found = AnomalyDetector(loaded, CPU).score_image(spot, "a").anomaly_map
    assert found is not None and found.shape == (1, 6, 40, 30)
    z, y, x = np.unravel_index(np.argmax(found[0]), found.shape[1:])
    assert z == 4 and 21 <= y < 25 and 6 <= x < 10
    assert found.max() <= 2


def test_folds_are_averaged(loaded: LoadedDetector) -> None:
    def run(networks: list[Any]) -> Any:
        part = LoadedDetector(loaded.description, networks, tuple(map(str, range(len(networks)))))
        return AnomalyDetector(part, CPU, precision="float32").score_image(image(), "a")

    first, second, both = run(loaded.networks[:1]), run(loaded.networks[1:]), run(loaded.networks)
    for index in range(5):
        assert both.slices[index].score == pytest.approx((first.slices[index].score + second.slices[index].score) / 2, rel=1e-5)
    np.testing.assert_allclose(both.generated, (first.generated + second.generated) / 2, atol=1e-6)
    np.testing.assert_allclose(both.anomaly_map, (first.anomaly_map + second.anomaly_map) / 2, atol=1e-6)


def test_a_second_run_gives_the_same_and_another_name_starts_elsewhere(
    describe_detector: Any, save_detector: Any, tmp_path: Path
) -> None:
    detector = AnomalyDetector(load_detector(save_detector(tmp_path, describe_detector(has_encoder=False))), CPU)
    scores = [detector.score_image(image(), case).case.score for case in ("a", "a", "b")]
    assert scores[0] == scores[1] != scores[2]


def test_blank_slices_are_not_scored_and_have_no_anomaly(loaded: LoadedDetector) -> None:
    volume = image()
    volume.array[:, 2] = 0.5
    scored = AnomalyDetector(loaded, CPU).score_image(volume, "a")
    assert [row.score is None for row in scored.slices] == [False, False, True, False, False]
    assert (scored.slices[2].residual, scored.slices[2].steps, scored.case.slices) == (None, 0, 4)
    assert scored.anomaly_map is not None and not scored.anomaly_map[:, 2].any() and scored.anomaly_map[:, 1].any()
    assert 2 not in scored.highest(5) and len(scored.highest(5)) == 4
    with pytest.raises(AutosegError, match="case a: each of its slices has one value everywhere, so that there is nothing"):
        AnomalyDetector(loaded, CPU).score_case("a", np.zeros((2, 1, 16, 16), np.float32), np.ones(2, bool))


def test_some_slices_have_the_scores_that_they_have_among_all(loaded: LoadedDetector) -> None:
    whole = AnomalyDetector(loaded, CPU, precision="float32").score_image(image(), "a")
    some = AnomalyDetector(loaded, CPU, most_slices=2, precision="float32").score_image(image(), "a")
    assert [row.slice for row in some.slices] == [1, 3] and some.anomaly_map is None
    assert [row.score for row in some.slices] == pytest.approx([whole.slices[i].score for i in (1, 3)], rel=1e-4)


def test_slices_are_spread_over_those_that_are_not_blank() -> None:
    blank = np.array([True] * 2 + [False] * 6 + [True] * 2)
    assert spread(blank, None).tolist() == list(range(10))
    assert spread(blank, 6).tolist() == list(range(10))
    assert spread(blank, 3).tolist() == [3, 5, 7]
    assert spread(blank, 1).tolist() == [5]


def test_highest_are_the_slices_of_the_highest_scores(loaded: LoadedDetector) -> None:
    scored = AnomalyDetector(loaded, CPU).score_image(image(), "a")
    scores = [row.score or 0 for row in scored.slices]
    assert scored.highest(3).tolist() == sorted(range(5), key=lambda i: -scores[i])[:3]


def test_an_image_of_other_channels_is_refused(loaded: LoadedDetector) -> None:
    two = Image(np.repeat(image().array, 2, axis=0), GEOMETRY)
    with pytest.raises(AutosegError, match="case a: 2 channels found, but 1 expected"):
        AnomalyDetector(loaded, CPU).score_image(two, "a")


def test_networks_that_give_no_numbers_are_told(loaded: LoadedDetector) -> None:
    with torch.no_grad():
        next(loaded.networks[0].generator.parameters()).fill_(torch.nan)
    with pytest.raises(AutosegError, match="give no numbers"):
        AnomalyDetector(loaded, CPU).score_image(image(), "a")
