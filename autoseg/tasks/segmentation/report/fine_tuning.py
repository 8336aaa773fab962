"""The part of the report about the model that a training started from, and what became of its classes."""

from __future__ import annotations

from autoseg.reporting.artefacts import model_if_there
from autoseg.reporting.blocks import Block, Table, Text
from autoseg.tasks.segmentation.pretrained import LOST, FoldStart, start_of
from autoseg.tasks.segmentation.report.artefacts import Model
from autoseg.wording import fixed, signed


def before_and_after(model: Model, troubles: list[str]) -> list[Block]:
    """Show each class of the model that the validated folds started from, before and after the training; no block for others."""
    starts = [(start, results) for fold, results in model.validated
              if (start := model_if_there(troubles, start_of(fold.folder), FoldStart)) is not None]
    if not starts:
        return []
    source = starts[0][0].model
    heads = "heads included" if source.heads == "taken" else "with new heads, as the labels are others"
    blocks: list[Block] = [Text(f"{model.name} started from {source.in_words}: its weights, {heads}.")]
    if skipped := list(dict.fromkeys(start.skipped for start, _ in starts if start.skipped)):
        blocks.append(Text(f"How well that model segments these cases was not measured: {'; '.join(skipped)}.", is_note=True))
    found = [start.compared(results) for start, results in starts]
    rows, worse = list[list[str]](), set[int]()
    for name in dict.fromkeys(name for of_fold in found for name in of_fold):
        pairs = [of_fold[name] for of_fold in found if name in of_fold]
        cases = sum(number for *_, number in pairs)
        before, after = (sum(pair[side] * pair[2] for pair in pairs) / cases for side in (0, 1))
        worse |= {len(rows)} if before - after > LOST else set()
        rows.append([name, fixed(before), fixed(after), signed(after - before), str(cases)])
    if rows:
        blocks.append(Table(f"Mean Dice of the validation cases before and after the training (marked: lost more than {LOST:g})",
                            ("class", "before", "after", "change", "cases"), rows, marked=frozenset(worse)))
    return blocks
