"""What lies on disk of a dataset's projections and its locators."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from autoseg.evaluation.location.summary import LocationSummary, summarize
from autoseg.evaluation.location.validated import ValidatedLocation, read_validated
from autoseg.evaluation.report.apart import FoldApart, ModelApart, begun_folds, count_folds, stored_cases
from autoseg.evaluation.report.reading import model_if_there, read_if_there
from autoseg.kinds import LOCATION
from autoseg.tasks.localization.model import LocatorDescription
from autoseg.tasks.localization.plan import CONFIGURATION, ProjectionPlans, Target
from autoseg.tasks.localization.store import StoredProjection, open_projection
from autoseg.workspace import DatasetFolder, ModelFolder


@dataclass(frozen=True)
class LocatorFold(FoldApart):
    """A fold of a locator. rows: its validation's, whole cases and parts of them."""

    rows: list[ValidatedLocation]


@dataclass(frozen=True)
class Locator(ModelApart[LocatorDescription, LocatorFold]):
    """A locator."""

    @cached_property
    def summary(self) -> LocationSummary | None:
        """Of all folds together, as far as they are validated; None where none is."""
        rows = [row for fold in self.folds for row in fold.rows]
        return summarize(rows) if rows else None


@dataclass(frozen=True)
class LocationArtefacts:
    """plans: of today, which locators may be older than. stored: the training cases that are projected."""

    plans: ProjectionPlans
    stored: list[StoredProjection]
    locators: list[Locator]

    def target_of(self, locator: Locator) -> Target:
        """What it was trained to find; where model.json is damaged, what is planned today."""
        return (locator.description or self).plans.target

    @property
    def targets(self) -> list[str]:
        """What there are locators for, then what is planned today; each once."""
        return list(dict.fromkeys([*(self.target_of(locator).name for locator in self.locators), self.plans.target.name]))


def read_location_artefacts(folder: DatasetFolder, plans: ProjectionPlans, troubles: list[str]) -> LocationArtefacts:
    """Of a dataset that was planned as projections; damaged files are added to `troubles`."""
    cases = (case.name for case in plans.source.training)
    stored = stored_cases(folder.preprocessed(CONFIGURATION), cases, open_projection, troubles)
    folds = count_folds(folder, LOCATION, troubles)
    return LocationArtefacts(plans, stored, [_read_locator(model, folds, troubles) for model in folder.models_of(LOCATION)])


def _read_locator(model: ModelFolder, folds: int, troubles: list[str]) -> Locator:
    description = model_if_there(troubles, model.model_json, LocatorDescription)
    return Locator(model, description, [_read_fold(fold, troubles) for fold in begun_folds(model, troubles)], folds)


def _read_fold(begun: FoldApart, troubles: list[str]) -> LocatorFold:
    rows = (read_if_there(troubles, begun.folder.locations_csv, read_validated) or []) if begun.is_validated else []
    return LocatorFold(begun.name, begun.folder, begun.state, begun.log, rows)
