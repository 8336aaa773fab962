"""What the discriminator sees: each change against a direct computation, and gradients through it."""

from __future__ import annotations

import pytest
import torch

from autoseg.trainers.anomaly.augmentation import AUGMENTATIONS, augment

every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)


def images_of(count: int, size: int = 16, channels: int = 2) -> torch.Tensor:
    """No pixel is zero, and no two of an image are alike."""
    pixels = torch.arange(1, count * channels * size * size + 1, dtype=torch.float32)
    return (pixels / pixels.max()).reshape(count, channels, size, size)


def shifted(images: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """By whole pixels, zeros coming in: pixel by pixel. images: (B, C, S, S)."""
    size, moved = images.shape[-1], torch.zeros_like(images)
    for row in range(size):
        for column in range(size):
            if 0 <= row - down < size and 0 <= column - right < size:
                moved[:, :, row, column] = images[:, :, row - down, column - right]
    return moved


def test_translation_shifts_each_image_by_whole_pixels_and_zeros_come_in() -> None:
    """By at most an eighth of the edge, here 2 of 16 pixels, down or up and to either side."""
    torch.manual_seed(0)
    images = images_of(200)
    seen = AUGMENTATIONS["translation"](images)
    ways = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
    fits = torch.stack([(seen == shifted(images, *way)).all(dim=(1, 2, 3)) for way in ways])
    assert (fits.sum(0) == 1).all()  # each image has been shifted in one way
    assert fits.any(1).all()


def test_intensity_changes_brightness_and_contrast_around_the_mean_of_the_image() -> None:
    torch.manual_seed(0)
    images = torch.rand(200, 2, 8, 8) * 2 - 1
    seen = AUGMENTATIONS["intensity"](images)
    factors, added = [], []
    for before, after in zip(images, seen, strict=True):
        assert torch.equal(before.flatten().argsort(), after.flatten().argsort())
        factor = float((after.max() - after.min()) / (before.max() - before.min()))
        brightness = float(after.mean() - before.mean())
        assert torch.allclose(after, (before - before.mean()) * factor + before.mean() + brightness, atol=1e-5)
        factors.append(factor)
        added.append(brightness)
    assert 0.5 <= min(factors) < 0.55 and 1.45 < max(factors) <= 1.5
    assert -0.5 <= min(added) < -0.45 and 0.45 < max(added) <= 0.5


def test_cutout_takes_a_square_of_half_the_edge_or_what_of_it_lies_in_the_image() -> None:
    torch.manual_seed(0)
    images = images_of(300)
    heights = set()
    for before, after in zip(images, AUGMENTATIONS["cutout"](images), strict=True):
        gone = after[0] == 0
        rows, columns = gone.any(1).nonzero().flatten(), gone.any(0).nonzero().flatten()
        expected = before.clone()
        expected[:, int(rows[0]):int(rows[-1]) + 1, int(columns[0]):int(columns[-1]) + 1] = 0
        assert torch.equal(after, expected)
        for found in (rows, columns):
            assert 4 <= len(found) <= 8
            assert len(found) == 8 or found[0] == 0 or found[-1] == 15  # smaller at the border alone
        heights.add(len(rows))
    assert heights == {4, 5, 6, 7, 8}


@every_augmentation
def test_gradients_pass_through(name: str) -> None:
    """Against differences: the generator learns through what the discriminator sees."""
    def changed(images: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        return AUGMENTATIONS[name](images)

    images = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(changed, (images,))


@every_augmentation
def test_each_image_is_changed_in_a_way_of_its_own_and_all_its_channels_alike(name: str) -> None:
    torch.manual_seed(1)
    one = images_of(1, channels=1)
    images = one.expand(64, 3, -1, -1).contiguous()
    seen = AUGMENTATIONS[name](images)
    assert seen.shape == images.shape and len(seen.flatten(1).unique(dim=0)) > 10
    assert torch.equal(seen[:, 0], seen[:, 1]) and torch.equal(seen[:, 0], seen[:, 2])


def test_changes_follow_each_other_as_named_and_none_leaves_images_as_they_are() -> None:
    images = images_of(4)
    assert augment(images, ()) is images
    torch.manual_seed(5)
    expected = AUGMENTATIONS["cutout"](AUGMENTATIONS["intensity"](images))
    torch.manual_seed(5)
    assert torch.equal(augment(images, ("intensity", "cutout")), expected)
