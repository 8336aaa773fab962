"""Exports of segmentation models: what the model card says of them, and their formats for other programs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from autoseg.workspace import ModelFolder, read_model

if TYPE_CHECKING:
    from autoseg.evaluation.summary import Summary

__all__ = ["FORMATS", "PIPELINE_TAG", "facts", "results"]

PIPELINE_TAG = "image-segmentation"  # the model hub's word


def _onnx(*arguments: Any) -> list[str]:
    from autoseg.tasks.segmentation.exports.onnx import export

    return export(*arguments)


def _nnunet(*arguments: Any) -> list[str]:
    from autoseg.tasks.segmentation.exports.nnunet import export

    return export(*arguments)


FORMATS: Mapping[str, Callable[..., list[str]]] = {"onnx": _onnx, "nnunet": _nnunet}


def facts(model: ModelFolder) -> dict[str, str]:
    """Return what a segmentation model is, by what each is called. Raises AutosegError where model.json is damaged."""
    from autoseg.tasks.segmentation.model import ModelDescription

    its = read_model(model.model_json, ModelDescription)
    configuration, network = its.configuration, its.configuration.network
    axes = "(z, y, x)" if configuration.dimensions == 3 else "(y, x)"
    steps = {key: its.settings[key] for key in ("epochs", "max_hours") if its.settings.get(key)}
    return {
        "channels": ", ".join(f"{name} ({scheme})" for name, scheme in zip(
            its.channel_names, configuration.normalization, strict=True)),
        "labels": ", ".join(f"{name} ({'+'.join(map(str, values)) if isinstance(values, tuple) else values})"
                            for name, values in its.labels.foreground.items()),
        "spacing": f"{' × '.join(f'{mm:.4g}' for mm in configuration.spacing_mm)} mm {axes}; images of any spacing are resampled",
        "patch": f"{' × '.join(map(str, configuration.patch_size))} voxels {axes}",
        "network": f"{network.name}, {network.stages} stages, {network.features[0]} to {max(network.features)} features",
        "recipe": f"{its.recipe}{''.join(f', {key} {value}' for key, value in steps.items())}",
    }


def results(summary: Summary) -> list[tuple[str, ...]]:
    """Return the means of a cross-validation by class, with the 95 % interval of Dice, as rows of cells."""
    rows: list[tuple[str, ...]] = [("class", "Dice", "95 % interval", "HD95 (mm)", "cases with it")]
    for key, mean in summary.mean.items():
        low, high = summary.confidence.get(key, {}).get("Dice", (math.nan, math.nan))
        count = sum(case.metrics.get(key, {}).get("n_ref", 0) > 0 for case in summary.metric_per_case)
        interval = "–" if math.isnan(low) else f"{_cell(low)} to {_cell(high)}"
        rows.append((summary.names.get(key, key), _cell(mean.get("Dice")), interval, _cell(mean.get("HD95"), 1), str(count)))
    return [*rows, ("mean", _cell(summary.foreground_mean.get("Dice")), "", "", str(len(summary.metric_per_case)))]


def _cell(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"
