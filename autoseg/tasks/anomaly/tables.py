"""An evaluation of anomaly scores as tables to read in a terminal of 100 columns and more."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from autoseg.evaluation.roc import NORMAL_PERCENTILE, Detection
from autoseg.tasks.anomaly.scores import CaseScore
from autoseg.tasks.anomaly.summary import AnomalySummary
from autoseg.wording import UNKNOWN, cell, plain_table


def case_scores_table(cases: Sequence[CaseScore]) -> Table:
    """Show every case, the highest score first."""
    table = Table(title="Anomaly score of each case, the highest first")
    table.add_column("case")
    table.add_column("truth")
    for column in ("score", "mean of slices", "highest slice", "slices"):
        table.add_column(column, justify="right")
    for case in sorted(cases, key=lambda case: -case.score):
        table.add_row(escape(case.case), case.truth or UNKNOWN, f"{case.score:.4g}", f"{case.mean:.4g}",
                      f"{case.highest:.4g} (slice {case.highest_slice})", str(case.slices))
    return table


def anomaly_table(summary: AnomalySummary) -> Table:
    """Show AUROC, average precision and sensitivity by case and by slice, with 95 % intervals."""
    table = plain_table("How well scores tell abnormal from normal (95 % interval)")
    table.add_column("score of", no_wrap=True)
    for column in ("normal", "abnormal", "AUROC", "average precision", f"sensitivity at the\n{NORMAL_PERCENTILE:g}th percentile\n"
                   "of the normal"):
        table.add_column(column, justify="right")
    levels = {"cases": summary.cases, "slices": summary.slices, "slices, residual alone": summary.residual,
              "slices, discrimination alone": summary.discrimination}
    for name, its in levels.items():
        table.add_row(name, str(its.normal), str(its.abnormal), *_cells(its))
    return table


def in_words(summary: AnomalySummary) -> list[str]:
    """Return what the table cannot say: why something is not known, and whether the maps show where."""
    notes = list(dict.fromkeys(its.note for its in (summary.cases, summary.slices) if its.note))
    if (where := summary.localization) is not None:
        by_voxel = "not known: no voxel is normal" if where.voxel_auroc is None else f"{where.voxel_auroc:.3f}"
        notes.append(
            f"Of {where.slices} abnormal slices the map's highest voxel lies inside the abnormal region in {where.hits} "
            f"({where.hits / where.slices:.0%}; by chance {where.chance:.1%}). Voxel AUROC {by_voxel}.")
    return notes


def _cells(its: Detection) -> list[str]:
    return [cell(its.auroc, its.auroc_interval), cell(its.average_precision, its.average_precision_interval),
            cell(its.sensitivity)]
