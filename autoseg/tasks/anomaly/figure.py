"""`scores.png`: how the scores of normal and abnormal cases and slices lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.evaluation.roc import Detection, Scored, roc_of
from autoseg.plotting import BLUE, GRAY, VERMILION, new_figure, save_png
from autoseg.tasks.anomaly.summary import Evaluation, scored_cases, scored_slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUPS = (("normal", BLUE), ("abnormal", VERMILION), ("unknown", GRAY))
POINTS_SHOWN = 400  # of a group; more of them are a random choice


def groups(entries: Sequence[Scored]) -> dict[str, list[float]]:
    """Return the scores by truth: normal, abnormal, unknown, as far as there are any."""
    found = {name: [entry.score for entry in entries if (entry.truth or "unknown") == name] for name, _ in GROUPS}
    return {name: scores for name, scores in found.items() if scores}


def draw_scores(path: Path, found: Evaluation, title: str) -> None:
    """Draw a PNG: box plots of the scores of each group, cases and slices, and both ROC curves with their AUROC."""
    figure = new_figure(12, 4.4)
    figure.suptitle(title, fontsize=11, parse_math=False)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.2))
    cases, slices = scored_cases(found.cases), scored_slices(found.slices)
    _boxes(left, cases, "cases")
    _boxes(middle, slices, "slices")
    _roc(right, {"cases": (cases, found.summary.cases), "slices": (slices, found.summary.slices)})
    save_png(path, figure, dpi=110)


def _boxes(axes: Axes, entries: Sequence[Scored], noun: str) -> None:
    found = groups(entries)
    colours = dict(GROUPS)
    axes.set_title(f"Score of {noun}", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    if not found:
        axes.set_xticks([])
        return
    boxes = axes.boxplot(list(found.values()), widths=0.5, showfliers=False, patch_artist=True, medianprops={"color": "black"})
    rng = np.random.default_rng(0)
    for place, (name, scores) in enumerate(found.items(), start=1):
        boxes["boxes"][place - 1].set(facecolor=colours[name], alpha=0.35)
        shown = np.array(scores)
        shown = shown if len(shown) <= POINTS_SHOWN else rng.choice(shown, POINTS_SHOWN, replace=False)
        axes.plot(place + rng.uniform(-0.18, 0.18, len(shown)), shown, ".", color=colours[name], ms=4, alpha=0.6)
    axes.set_xticks(range(1, len(found) + 1), [f"{name}\n({len(scores)})" for name, scores in found.items()])


def _roc(axes: Axes, levels: dict[str, tuple[list[Scored], Detection]]) -> None:
    axes.plot([0, 1], [0, 1], color=GRAY, lw=1, ls=":")
    for (noun, (entries, its)), (colour, dashes) in zip(levels.items(), ((BLUE, "-"), (VERMILION, "--")), strict=True):
        if its.auroc is None:
            axes.plot([], [], " ", label=f"{noun}: not known")
            continue
        curve = roc_of(entries)
        between = "" if its.auroc_interval is None else f" ({its.auroc_interval[0]:.2f} to {its.auroc_interval[1]:.2f})"
        axes.plot(curve.fpr, curve.tpr, color=colour, ls=dashes, lw=1.8, label=f"{noun}: AUROC {its.auroc:.3f}{between}")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_title("ROC", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
