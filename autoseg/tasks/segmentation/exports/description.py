"""All that comes before and after a segmentation network, in numbers and words, for programs that run it without autoseg."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoseg.best import Rule, rule_facts
from autoseg.inference.sliding_window import SIGMA_OF_PATCH
from autoseg.preprocessing.pipeline import IMAGE_ORDER, SMALLEST_STD
from autoseg.preprocessing.resample import ANISOTROPY_THRESHOLD
from autoseg.tasks.segmentation.cascade import values_seen
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.ways import TILE_STEP, TakenWay, Way

IN_WORDS = {
    "ct": "clip to [clip_low, clip_high], subtract mean, divide by std",
    "zscore": "subtract the mean of the image's channel, divide by its standard deviation (of the population)",
    "rescale_0_1": "subtract the smallest value of the image's channel, divide by the largest that is left",
    "rgb": "divide by 255", "none": "nothing",
}


def described_steps(its: ModelDescription, rules: Sequence[Rule], says: Sequence[str], taken: TakenWay) -> dict[str, Any]:
    """Return the steps around the networks, as plain values. rules, says: the post-processing of find-best. taken: the way to
    predict that it chose."""
    return {
        "axes": _axes(its),
        "crop": "Crop to the smallest box in which any channel differs from 0; the whole image where none does.",
        "normalization": [_normalization(its, channel) for channel in range(len(its.channel_names))],
        **_previous_stage(its), "resampling": _resampling(its),
        "sliding_window": _window(its, taken.way), "mirroring": _mirroring(its, taken.way),
        **({"way": {"chosen": taken.says, "full": {"step": TILE_STEP, "axes": list(its.mirror_axes)}}} if taken.says else {}),
        "labels": _labels(its),
        "back": "Resize the logits as said, take the labels, put them into the crop box (0 outside), and undo axes.",
        "postprocessing": {"rules": rule_facts(rules), "in_words": list(says)},
    }


def _axes(its: ModelDescription) -> dict[str, Any]:
    plans = its.plans
    return {
        "orientation": plans.orientation, "transpose": list(plans.transpose),
        "in_words": "Arrays are (channel, z, y, x), as a file's voxels lie with x fastest. Where the file knows the patient's "
                    "axes, flip and permute it so that x, y and z run towards orientation (three letters for x, y, z, such as "
                    "LPS: left, posterior, superior); null: leave it as it is. Then axis i is axis transpose[i].",
        "channels": list(its.channel_names)}


def _normalization(its: ModelDescription, channel: int) -> dict[str, Any]:
    configuration, statistics = its.configuration, its.plans.foreground_intensities.get(str(channel))
    scheme = configuration.normalization[channel]
    inside = scheme == "zscore" and configuration.normalize_inside_mask[channel]
    said: dict[str, Any] = {"channel": its.channel_names[channel], "scheme": scheme, "in_words": IN_WORDS[scheme]}
    if scheme == "ct" and statistics is not None:
        said |= {"clip_low": statistics.percentile_00_5, "clip_high": statistics.percentile_99_5, "mean": statistics.mean,
                 "std": max(statistics.std, SMALLEST_STD)}
    if inside:
        said["only_inside"] = ("Mean and deviation are of the voxels where any channel differs from 0, holes filled (zeros that "
                               "are not reached through faces from the border of the crop box); the others stay 0.")
    return said | ({} if scheme in ("none", "rgb", "ct") else {"smallest_divisor": SMALLEST_STD})


def _previous_stage(its: ModelDescription) -> dict[str, Any]:
    values = values_seen(its.configuration, its.labels)
    if not values:
        return {}
    return {"previous_stage": {
        "configuration": its.configuration.previous_stage, "values": list(values),
        "in_words": "Behind the image's channels the network sees, for each of these label values, 1 where the model of that "
                    "configuration segmented it and 0 elsewhere: its labels on the image's grid, cropped, resized by label "
                    "(linearly the mask of each, the highest wins) like the image, not normalized."}}


def _resampling(its: ModelDescription) -> dict[str, Any]:
    configuration = its.configuration
    slices = " The slice axis keeps its size and spacing." if configuration.dimensions == 2 else ""
    return {
        "spacing_mm": list(configuration.spacing_mm), "image_order": IMAGE_ORDER, "logits_order": 1,
        "anisotropy_threshold": ANISOTROPY_THRESHOLD,
        "in_words": "After normalization, resize to round(size · spacing / spacing_mm) voxels (half to even, at least 1), both "
                    "grids covering the same extent, borders repeated, by splines of image_order, clipped to the range of the "
                    f"source: skimage.transform.resize(order=3, mode='edge', anti_aliasing=False).{slices} Where the coarsest "
                    "axis of the image's spacing (or else of spacing_mm) is more than anisotropy_threshold times the finest, "
                    "that axis alone is resized by nearest neighbour, the others slice by slice. Logits go back to the size "
                    "before by the same rule, with logits_order."}


def _window(its: ModelDescription, way: Way) -> dict[str, Any]:
    patch = list(its.configuration.patch_size)
    return {
        "patch": patch, "step": way.step, "gaussian_sigma_of_patch": SIGMA_OF_PATCH,
        "in_words": "Along each axis of n voxels and patch p, i = ceil((n - p) / (p · step)) intervals, patches at round((n - p) "
                    "/ i · k), k = 0..i; an axis shorter than the patch has one, padded with zeros on both sides, floor((p - n) "
                    "/ 2) before. Logits are averaged with the weight exp(-0.5 · ((v - floor(p / 2)) / (p · "
                    "gaussian_sigma_of_patch))²), the product over the axes."
                    + (" Each slice is an image." if len(patch) == 2 else "")
                    + (" autoseg leaves out margins of an image that cannot hold anything; covering them finds background there, "
                       "as a rule." if way.skip_empty else "")}


def _mirroring(its: ModelDescription, way: Way) -> dict[str, Any]:
    said: dict[str, Any] = {
        "axes": list(its.mirrored(way.axes)),
        "in_words": "The mean of the logits over all 2^n combinations of these axes of the patch (0 is the first spatial one), "
                    "each flipped before the network and back after it; leaving it out is faster and a little worse."}
    if its.swapped:
        said |= {"swap_axes": list(its.swap_axes), "swapped": [list(pair) for pair in its.swapped],
                 "swap_in_words": "Where an odd number of swap_axes is flipped, the channels of each pair change places."}
    return said


def _labels(its: ModelDescription) -> dict[str, Any]:
    labels = its.labels
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in labels.values.items()}
    if not labels.has_regions:
        return {"values": values,
                "in_words": "The label of a voxel is the channel with the highest logit, channel k being value k."}
    return {"values": values, "channels": list(labels.foreground), "regions_class_order": list(labels.regions_class_order or ()),
            "in_words": "Each region is a channel; where its logit is above 0, it is painted with its entry of "
                        "regions_class_order, later regions over earlier ones."}
