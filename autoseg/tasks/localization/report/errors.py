"""A locator's validation: how far its answers are from the true level, and the cases that are farthest from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.reporting.artefacts import FoldArtefacts, ModelArtefacts, rows_if_there
from autoseg.reporting.blocks import Block, Figure, Picture, Table, Text, figures, pictures
from autoseg.reporting.figures import box_rows, dots
from autoseg.tasks.localization.evaluation import failings
from autoseg.tasks.localization.locations import LOCATIONS, Part, ValidatedLocation
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.picture import picture_png
from autoseg.tasks.localization.summary import NEAR_MM, Absent, CaseError, Errors, LocationSummary, Share, summarize
from autoseg.tasks.localization.tables import in_words
from autoseg.wording import JOINED, MISSING, counted, fixed, interval, with_interval
from autoseg.workspace import FoldFolder

Rows = list[ValidatedLocation]  # of a fold's validation: full cases and parts of them
Locator = ModelArtefacts[LocatorDescription, Rows, LocationSummary]
WORST = 4
CASES_SHOWN = 40
WHERE: dict[Part, str] = {"whole": "the whole case", "before": "the part before it", "after": "the part after it"}


def read_results(fold: FoldFolder, troubles: list[str]) -> Rows | None:
    """Read the rows of a fold's validation; None where there is none."""
    return rows_if_there(troubles, fold.validated(LOCATIONS), ValidatedLocation) or None


def pooled(folds: Sequence[Rows]) -> LocationSummary:
    """Return the errors of these folds together."""
    return summarize([row for rows in folds for row in rows])


def errors_of(locator: Locator, target: str) -> list[Block]:
    """Show numbers, figures and the worst cases of all folds together; say what is not known."""
    its = locator.summary
    if its is None:
        return [Text("No case has been located yet: a fold does that when it has been trained.", is_note=True)]
    blocks: list[Block] = [
        Text(f"{counted(its.cases, 'case')} in which {target} is, of the validation{locator.of_folds}, located by networks that "
             "were not trained on them. Errors are the distance along the axis between the strongest answer and the truth, "
             "whether or not it was strong enough to count as found. To see that what is not there is not found, the parts of "
             "each case before and after it were given to the networks as well."),
        *(Text(f"{failing}.", is_note=True) for failing in failings(its).values()),
        *_numbers(its), *(Text(note, is_note=True) for note in in_words(its)), *_wrong(locator), *_figures(locator, its)]
    if len(locator.validated) > 1:
        blocks.append(_by_fold(locator))
    return blocks + _worst(locator, its)


def _numbers(its: LocationSummary) -> list[Block]:
    blocks: list[Block] = []
    if its.error_mm is not None and its.error_slices is not None:
        by_unit: Mapping[str, Errors] = {"mm": its.error_mm, "slices": its.error_slices}
        rows = [[unit, with_interval(errors.mean, errors.interval, 2), fixed(errors.median, 2), fixed(errors.worst, 2),
                 errors.worst_case]
                for unit, errors in by_unit.items()]
        columns = ("in", "mean", "median", "worst", "worst case")
        blocks.append(Table("Absolute error (95 % interval)", columns, rows, frozenset({4})))
    counts = [["at most one slice off", *_share(its.within_slice)], [f"at most {NEAR_MM:g} mm off", *_share(its.within_5_mm)]]
    counts.append(["found where it is", f"{its.found} of {its.cases}", ""])
    for what, absent in (("cases", its.without_level), ("parts of cases", its.parts)):
        if absent.count:
            counts.append([f"wrongly found in {what} without it", f"{len(absent.wrongly_found)} of {absent.count}", ""])
    return [*blocks, Table("How often (95 % interval)", ("", "cases", "share"), counts)]


def _wrong(locator: Locator) -> list[Block]:
    """List where the level was found in cases and parts of cases without it, the surest first."""
    wrong = sorted(((row, fold) for fold, rows in locator.validated for row in rows if row.found and not row.is_there),
                   key=lambda entry: -entry[0].confidence)
    rows = [[row.case, WHERE[row.part], f"{row.slice:.1f}", f"{row.confidence:.2f}", fold.name]
            for row, fold in wrong[:CASES_SHOWN]]
    if not rows:
        return []
    caption = "Found where it is not" + (f" (the {CASES_SHOWN} surest of {len(wrong)})" if len(wrong) > CASES_SHOWN else "")
    return [Table(caption, ("case", "in", "slice", "confidence", "fold"), rows, frozenset({1}))]


def _share(share: Share | None) -> list[str]:
    if share is None:
        return [MISSING, ""]
    low, high = (100 * bound for bound in share.interval)
    return [f"{share.count} of {share.of}", f"{share.share:.0%} ({interval(low, high, 0)})"]


def _figures(locator: Locator, its: LocationSummary) -> list[Block]:
    shown = its.errors[:CASES_SHOWN]
    title = "Error of each case"
    if len(shown) < len(its.errors):
        title = f"The {len(shown)} largest errors of {len(its.errors)} cases"
    not_found = {error.case for error in shown if not error.found}
    picture = dots(f"{title} of the validation by {locator.name}", {error.case: error.error_mm for error in shown}, "mm",
                   not_found, "not found", NEAR_MM)
    by_fold = {f"fold {fold.name}": [row.error_mm for row in rows if row.part == "whole" and row.error_mm is not None]
               for fold, rows in locator.validated}
    boxes = box_rows(f"Error of each case by {locator.name}, by fold", by_fold, "mm", limits=(0, None))
    return figures(
        Figure(f"{title}, mm", picture, f"Dashed: {NEAR_MM:g} mm."),
        Figure("Errors of each fold, mm", boxes, "The line is the median, the box holds half of the cases."), is_wide=True)


def _by_fold(locator: Locator) -> Table:
    rows = []
    for fold, results in locator.validated:
        its = summarize(results)
        errors = its.error_mm
        rows.append([f"fold{JOINED}{fold.name}", str(its.cases),
                     with_interval(errors.mean, errors.interval, 2) if errors else MISSING,
                     fixed(errors.worst, 2) if errors else MISSING, f"{its.found} of {its.cases}",
                     _wrongly(its.without_level), _wrongly(its.parts)])
    return Table("Error of each fold, mm", ("fold", "cases", "mean", "worst", "found", "wrongly: cases", "wrongly: parts"), rows)


def _wrongly(absent: Absent) -> str:
    return f"{len(absent.wrongly_found)} of {absent.count}" if absent.count else MISSING


def _worst(locator: Locator, its: LocationSummary) -> list[Block]:
    """Show pictures of the cases with the largest errors."""
    fold_of = {row.case: (fold, rows) for fold, rows in locator.validated for row in rows if row.part == "whole"}
    return pictures(
        "The cases with the largest errors: the projection with the answer and the true level, and beside it the response of the "
        "networks along its rows. The answer is dotted where it was not strong enough to count as found.",
        (_picture(error, *fold_of[error.case]) for error in its.errors[:WORST]))


def _picture(error: CaseError, fold: FoldArtefacts[Rows], rows: Rows) -> Picture:
    found, off = "found" if error.found else "not found", f"{fixed(error.error_mm, 2)} mm"
    answer = f"level that fold {fold.name} found" if error.found else f"strongest answer of fold {fold.name}, dotted,"
    said = (f"Projection of case {error.case} with the {answer} and the true level, {off} apart. "
            f"Confidence {error.confidence:.2f}, {found}.")
    note = " ".join([f"{error.error_slices:.2f} slices; confidence {error.confidence:.2f}, {found}; fold {fold.name}.",
                     *(f"Given only {WHERE[row.part]}: wrongly found, slice {row.slice:.1f}, confidence {row.confidence:.2f}."
                       for row in rows if row.case == error.case and row.found and not row.is_there)])
    return Picture(picture_png(fold.folder, error.case), f"{error.case}: {off}", said, note)
