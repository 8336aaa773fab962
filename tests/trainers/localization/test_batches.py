"""What a batch holds: projections and bands that fit them, parts without the level, drawn by seed and number alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.errors import AutosegError
from autoseg.tasks.localization.answer import coverage
from autoseg.tasks.localization.store import StoredLevel
from autoseg.trainers.background import BackgroundBatches
from autoseg.trainers.localization import batches as batches_module
from autoseg.trainers.localization.batches import InMemory, LocatorBatches, draw_rows, parts_without, read_projections
from autoseg.trainers.localization.settings import LocalizationSettings

CPU = torch.device("cpu")
LEVEL = StoredLevel(row=20.0, top=16.5, bottom=23.5, column=14.0)
SettingsOf = Callable[..., LocalizationSettings]


def case_with_dot(row: float = 20.0, column: float | None = 14.0, shape: tuple[int, int] = (48, 30)) -> InMemory:
    """Three channels of -1 with a bright spot at the level: a line where its column is not known."""
    rows, columns = np.indices(shape)
    away = (rows - row) ** 2 + (0 if column is None else (columns - column) ** 2)
    image = np.exp(-away / (2 * 1.5**2)) * 2 - 1
    return InMemory(torch.from_numpy(np.stack([image] * 3).astype(np.float32)), StoredLevel(
        row=row, top=row - 3.5, bottom=row + 3.5, column=column))


def absent_case(shape: tuple[int, int] = (48, 30)) -> InMemory:
    return InMemory(torch.zeros(3, *shape), None)


def made(cases: list[InMemory], settings: LocalizationSettings, size: tuple[int, int] = (64, 48), batch_size: int = 8,
         **changes: Any) -> LocatorBatches:
    return LocatorBatches(cases, size, batch_size, settings, changes.pop("mirrors", True), CPU, **changes)


def test_the_parts_before_and_after_hold_no_row_of_what_is_found() -> None:
    assert parts_without(LEVEL, 48, band=7) == [(0, 17), (24, 48)]
    assert parts_without(LEVEL, 48, band=7, margin=4) == [(0, 13), (28, 48)]
    assert parts_without(LEVEL, 31, band=7) == parts_without(LEVEL, 24, band=7) == [(0, 17)]  # 7 rows below are too few
    random = np.random.default_rng(0)
    for _ in range(300):
        top, height, count = random.uniform(-0.5, 40), random.uniform(0, 20), int(random.integers(45, 70))
        level = StoredLevel(row=top + height / 2, top=top, bottom=min(top + height, count - 0.5))
        band = float(random.uniform(1, 12))
        for start, stop in parts_without(level, count, band, float(random.uniform(0, 5))):
            rows = np.arange(start, stop)
            assert start >= 0 and stop <= count and stop - start >= 8
            assert not ((rows + 0.5 > level.top) & (rows - 0.5 < level.bottom)).any()  # nor any share of a row
            assert not coverage(count, level.row, band)[start:stop].any()


def test_a_point_has_the_height_of_its_band() -> None:
    """Else its rows would be called marked in whole projections, and without anything in parts."""
    point = StoredLevel(row=20.0, top=20.0, bottom=20.0)
    assert parts_without(point, 48, band=7) == [(0, 17), (24, 48)]  # the band covers rows 17 to 23
    assert parts_without(point, 48, band=1) == [(0, 20), (21, 48)]


def test_shares_of_the_batch_show_parts_and_windows(settings_of: SettingsOf) -> None:
    case, random = case_with_dot(), np.random.default_rng(0)
    settings = settings_of(absent_share=0.3, window_share=0.2)
    drawn = [draw_rows(case, settings, random) for _ in range(2000)]
    without = [(start, stop) for start, stop in drawn if stop <= 16.5 + 0.5 or start >= 23.5 - 0.5]
    whole = sum(rows == (0, 48) for rows in drawn)
    assert all(start >= 0 and stop <= 48 and stop - start >= 8 for start, stop in drawn)
    assert 0.45 * 2000 < whole < 0.55 * 2000
    assert 0.3 * 2000 < len(without) < 0.4 * 2000  # some windows hold it, some do not
    assert {start > 0 for start, _ in without} == {True, False}


def test_nothing_but_wholes_is_shown_where_both_shares_are_zero(settings_of: SettingsOf) -> None:
    random, settings = np.random.default_rng(0), settings_of(absent_share=0, window_share=0)
    assert {draw_rows(case, settings, random) for case in (case_with_dot(), absent_case()) for _ in range(50)} == {(0, 48)}


def test_with_every_sample_absent_no_band_is_ever_shown(settings_of: SettingsOf) -> None:
    settings = settings_of(absent_share=1, window_share=0)
    for batch in made([case_with_dot()], settings).batches(0, 10):
        assert not batch.target.any()


def test_a_small_projection_without_room_for_a_part_is_shown_whole(settings_of: SettingsOf) -> None:
    random, settings = np.random.default_rng(0), settings_of(absent_share=1, window_share=0)
    tiny = case_with_dot(row=5, shape=(10, 8))
    assert {draw_rows(tiny, settings, random) for _ in range(20)} == {(0, 10)}
    windows = settings_of(absent_share=0, window_share=1)
    assert {draw_rows(case_with_dot(2, shape=(5, 8)), windows, random) for _ in range(20)} == {(0, 5)}


@pytest.mark.parametrize("column", [14.0, None], ids=["a dot", "a line"])
@pytest.mark.parametrize("changes", [{}, {"band": 12.5}, {"moving": {"rotation": 40, "scaling": 0.4}}])
def test_the_band_moves_with_the_picture(settings_of: SettingsOf, column: float | None, changes: dict[str, Any]) -> None:
    """Windows, parts, turns, zooms, shifts and flips: the bright spot is always in the middle of the band."""
    settings = settings_of(absent_share=0.2, window_share=0.4, **changes)
    seen = []
    for batch in made([case_with_dot(column=column)], settings).batches(0, 12):
        assert batch.image.shape == (8, 3, 64, 48) and batch.target.shape == (8, 1, 64, 48)
        assert batch.target.dtype == torch.float32 and (batch.target == batch.target[..., :1]).all()
        for image, target in zip(batch.image.numpy(), batch.target[:, 0, :, 0].numpy(), strict=True):
            if not target.any():
                continue
            middle = float(target @ np.arange(64) / target.sum())
            bright = np.clip(image[2] - (image[2].min() + np.ptp(image[2]) * 0.7), 0, None)
            if 12 < middle < 52:
                assert target.sum() == pytest.approx(settings.band, abs=1e-4)
                seen.append(bright.sum(1) @ np.arange(64) / bright.sum() - middle)
    assert len(seen) > 40
    assert np.median(np.abs(seen)) < 0.3
    assert np.mean(np.abs(seen) < 1) > 0.9  # the rest is noise, blur, and spots at the edge of what is shown


def test_where_nothing_is_moved_the_band_is_at_the_level(settings_of: SettingsOf) -> None:
    settings = settings_of(augmentation="none", absent_share=0, window_share=0)
    batch, = made([case_with_dot(20.25)], settings, size=(48, 30)).batches(0, 1)
    expected = np.zeros(48)
    expected[17:25] = (0.75, 1, 1, 1, 1, 1, 1, 0.25)  # from 16.75 to 23.75
    np.testing.assert_allclose(batch.target[0, 0, :, 5], expected, atol=1e-6)
    torch.testing.assert_close(batch.image[0], case_with_dot(20.25).channels, atol=1e-6, rtol=0)


def test_what_lies_outside_is_padding_though_intensities_change(settings_of: SettingsOf) -> None:
    still = {"rotation": 0, "scaling": 0, "stretching": 0, "shift": 0, "mirror": False}
    settings = settings_of(absent_share=0, window_share=0, moving=still)
    for batch in made([case_with_dot()], settings).batches(0, 5):
        inside = torch.zeros(64, 48, dtype=torch.bool)
        inside[8:56, 9:39] = True
        assert (batch.image[:, :, ~inside] == -1).all()
        assert (batch.image[:, :, inside] != -1).any()


def test_only_projections_whose_columns_run_from_side_to_side_are_mirrored(settings_of: SettingsOf) -> None:
    sided = InMemory(torch.zeros(3, 48, 30), LEVEL)
    sided.channels[:, :, :15] = 1
    still = {"rotation": 0, "scaling": 0, "stretching": 0, "shift": 0}
    settings = settings_of(absent_share=0, window_share=0, moving=still)

    def left_is_bright(mirrors: bool) -> list[bool]:
        found = []
        for batch in made([sided], settings, mirrors=mirrors).batches(0, 5):
            found += (batch.image[:, 0, 8:56, 9:24].mean((1, 2)) > batch.image[:, 0, 8:56, 24:39].mean((1, 2))).tolist()
        return found

    with_mirror, without = left_is_bright(True), left_is_bright(False)
    assert 8 < sum(one != other for one, other in zip(with_mirror, without, strict=True)) < 32
    assert sum(without) >= 36  # an intensity may be turned round, no side


def test_batches_depend_on_seed_and_number_alone(settings_of: SettingsOf) -> None:
    cases = [case_with_dot(), absent_case(), case_with_dot(30)]
    *_, last = made(cases, settings_of()).batches(0, 4)
    again, = made(cases, settings_of()).batches(3, 1)
    assert torch.equal(last.image, again.image) and torch.equal(last.target, again.target)
    other, = made(cases, settings_of(seed=7)).batches(3, 1)
    following, = made(cases, settings_of()).batches(4, 1)
    assert not torch.equal(other.image, again.image) and not torch.equal(following.image, again.image)


def test_validation_shows_each_case_once_and_whole(settings_of: SettingsOf) -> None:
    cases = [case_with_dot(10), absent_case(), case_with_dot(30)]
    held_out = made(cases, settings_of(), batch_size=3, is_augmented=False)
    for batch in held_out.batches(5, 2):  # the same in every epoch
        for image, target, case in zip(batch.image, batch.target, cases, strict=True):
            torch.testing.assert_close(image[:, 8:56, 9:39], case.channels, atol=1e-6, rtol=0)
            row = 0.0 if case.level is None else case.level.row + 8
            np.testing.assert_allclose(target[0, :, 0], 0 if case.level is None else coverage(64, row, 7.0), atol=1e-5)


def test_projections_that_do_not_fit_into_memory_are_told(monkeypatch: pytest.MonkeyPatch, settings_of: SettingsOf) -> None:
    class Stored:
        shape = (3, 1000, 1000)

    monkeypatch.setattr(batches_module, "free_memory_bytes", lambda: 2**20)
    with pytest.raises(AutosegError, match="2 projections take 0.0 GiB of memory, more than half .* --spacing MM"):
        read_projections([Stored(), Stored()])  # type: ignore[list-item]


def test_where_one_column_is_not_known_nothing_is_turned(settings_of: SettingsOf) -> None:
    """Else what is turned would be without the level, and what is not would be with it."""
    settings = settings_of(absent_share=0, window_share=0, moving={"scaling": 0, "stretching": 0, "shift": 0, "rotation": 30})

    def corners_are_seen(*cases: InMemory) -> bool:
        batches = made([InMemory(torch.ones(3, 48, 30), case.level) for case in cases], settings, size=(48, 30), mirrors=False)
        return all((batch.image[:, :, [0, 0, -1, -1], [0, -1, 0, -1]] != -1).all() for batch in batches.batches(0, 3))

    assert not corners_are_seen(absent_case()) and not corners_are_seen(absent_case(), case_with_dot())
    assert corners_are_seen(absent_case(), case_with_dot(column=None))


def test_the_channel_of_positions_is_padded_and_no_intensity(settings_of: SettingsOf) -> None:
    settings = settings_of(absent_share=0, window_share=0, moving={"scaling": 0, "stretching": 0, "shift": 0, "rotation": 0})
    for batch in made([case_with_dot()], settings, position=True).batches(0, 5):
        assert batch.image.shape == (8, 4, 64, 48)
        ramp = batch.image[:, 3, 8:56, 9:39]
        np.testing.assert_allclose(ramp, np.broadcast_to(np.linspace(-1, 1, 48)[:, None], ramp.shape), atol=1e-5)
        assert (batch.image[:, 3, :8] == -1).all() and (batch.image[:, 3, :, :9] == -1).all()


@pytest.mark.skipif(sys.platform == "win32", reason="batches are made in the training itself there")
def test_processes_make_the_batches_that_the_training_makes(settings_of: SettingsOf) -> None:
    here = made([case_with_dot(), absent_case()], settings_of())
    processes = BackgroundBatches(here.make, here.finish, processes=2)
    try:
        for one, other in zip(here.batches(3, 5), processes.batches(3, 5), strict=True):
            assert torch.equal(one.image, other.image) and torch.equal(one.target, other.target)
            assert one.image.nbytes + one.target.nbytes == here.nbytes
    finally:
        processes.close()
