"""Explanations on the page: the most certain errors with their maps, the sanity test, and what each input contributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.explaining.attribution import NO_PROOF
from autoseg.reporting.artefacts import FoldArtefacts
from autoseg.reporting.blocks import Block, Picture, Table, Text, pictures
from autoseg.tasks.classification.explained import Explained, picture_of
from autoseg.tasks.classification.report.results import Results
from autoseg.tasks.classification.summary import ClassSummary, WrongCase
from autoseg.wording import counted

SHOWN = 6
ALIKE = 0.5  # rank correlation above which a map says little of what was learned


def explained_of(folds: Sequence[tuple[FoldArtefacts[Results], Results]], its: ClassSummary) -> list[Block]:
    """Show the most certain errors, the sanity test of their maps, and what permuting an input costs."""
    explained = [results.explained for _, results in folds if results.explained is not None]
    if not explained:
        return []
    return [*_errors(folds, its), *_sanity(explained), *_permuted(explained)]


def _errors(folds: Sequence[tuple[FoldArtefacts[Results], Results]], its: ClassSummary) -> list[Block]:
    places = {row.case: fold.folder for fold, results in folds for row in results.rows}
    has_maps = any(results.explained.agreement for _, results in folds if results.explained is not None)
    shown = {wrong.case: wrong for wrong in its.wrong
             if wrong.case in places and picture_of(places[wrong.case], wrong.case).exists()}
    maps = ("Colours are the class activation map (Grad-CAM; Selvaraju et al. 2017): where features lie that speak for the class "
            f"named above. {NO_PROOF}" if has_maps else "To see maps of what the network looked at, install autoseg[explain] "
            "and train again.")
    return pictures(f"The most certain errors. What is wrong can be the classifier, and it can be the target. {maps}", [
        Picture(picture_of(places[case], case), f"{case}: {wrong.told} ({wrong.probability:.3f}), in truth {wrong.true}",
                _alternative(wrong, has_maps)) for case, wrong in list(shown.items())[:SHOWN]])


def _alternative(wrong: WrongCase, has_maps: bool) -> str:
    maps = ", alone, below its map, and below the map of random weights" if has_maps else ""
    return f"Case {wrong.case}, predicted {wrong.told}, in truth {wrong.true}: the image{maps}."


def _sanity(explained: Sequence[Explained]) -> list[Block]:
    found = [abs(value) for its in explained for value in its.agreement.values()]
    if not found:
        return []
    mean = float(np.mean(found))
    said = ("The maps are much alike, so they show edges and brightness of the image more than what was learned: do not rely on "
            "them." if mean > ALIKE else "The maps depend on what was learned.")
    return [Text("Sanity test of the maps (Adebayo et al. 2018): Grad-CAM of the trained network and of one with random weights "
                 f"have an absolute rank correlation of {mean:.2f} on average (from {min(found):.2f} to {max(found):.2f}, "
                 f"{counted(len(found), 'case')}); 1 is the same map. {said}")]


def _permuted(explained: Sequence[Explained]) -> list[Block]:
    known = [its for its in explained if its.auroc is not None and its.permuted]
    if not known:
        return []
    weights = [its.cases for its in known]
    own = float(np.average([its.auroc or 0.0 for its in known], weights=weights))
    rows = []
    for name in known[0].permuted:
        left = float(np.average([its.permuted.get(name, np.nan) for its in known], weights=weights))
        rows.append((own - left, [name, f"{left:.3f}", f"{own - left:+.3f}"]))
    return [Table("What each input gives: AUROC where it has the values of other cases (permuted 20 times within the fold; mean "
                  f"over the folds; {own:.3f} as it is)", ("input", "AUROC", "lost"),
                  [row for _, row in sorted(rows, key=lambda entry: -entry[0])])]
