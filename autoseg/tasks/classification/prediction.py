"""Classes of files: a classifier opened for `autoseg_predict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.device import device_in_words, resolve_device
from autoseg.errors import AutosegError
from autoseg.evaluation.csv_table import write_rows
from autoseg.explaining.attribution import NO_PROOF, require_captum
from autoseg.explaining.maps import EXPLAIN, draw_maps, picture_path, with_maps, write_maps
from autoseg.image import Image
from autoseg.inference.cases import Written, predict_cases
from autoseg.inference.checkpoints import origin_of
from autoseg.inference.choice import Chosen
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.inference.prediction import Answer, CaseProgress, Prediction
from autoseg.inference.unlike import unlike_training
from autoseg.parallel import Outcome
from autoseg.pictures import is_gray
from autoseg.provenance import Origin, OutputFolder
from autoseg.tasks.classification.covariates import encoded, unusual
from autoseg.tasks.classification.explaining import (
    RANDOM,
    CovariateRow,
    Explainer,
    covariate_changes,
    covariate_rows,
    rows_of,
)
from autoseg.tasks.classification.framing import Framed, frame_image
from autoseg.tasks.classification.model import ClassifierDescription, load_classifier
from autoseg.tasks.classification.options import PredictOptions
from autoseg.tasks.classification.plan import ClassPlans, Covariate, Target
from autoseg.tasks.classification.regions import read_region, region_files
from autoseg.tasks.classification.rows import CLASSES, ClassRow, answer_kind, answer_row
from autoseg.tasks.classification.seer import Seer
from autoseg.tasks.classification.sheets import Sheet, read_sheet, require_without_errors
from autoseg.tasks.classification.store import plans_digest
from autoseg.tasks.classification.summary import default_thresholds

if TYPE_CHECKING:
    from rich.table import Table


class ClassificationPrediction(Prediction):
    """One classifier, or an ensemble of several that tell the same classes.

    The mean of their probabilities counts, and that of their thresholds. sheet: the table of covariates, None where they take
    none or none was given.
    """

    done = "classified"
    doing = "Classifying"
    compare_with = ("TRUTH.csv", "where you know the classes, as a table of case and class")

    def __init__(
        self, seers: Sequence[Seer], sheet: Sheet | None, regions: Path | None = None, explainer: Explainer | None = None
    ) -> None:
        self.seers, self.sheet, self.plans, self.regions = seers, sheet, seers[0].description.plans, regions
        self.one_file_each = self.plans.source.layout == "folders"
        self.covariates = covariates_of(seers)
        self.explainer, self.subfolders = explainer, () if explainer is None else (EXPLAIN,)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.plans.channel_names

    @property
    def target(self) -> Target:
        """Return what is told."""
        return self.plans.target

    def in_words(self, chosen: Chosen) -> str:
        names = ", ".join(covariate.name for covariate in self.covariates)
        temperatures = " and ".join(f"{seer.calibration.temperature:g}" for seer in self.seers)
        calibrated = f"at temperature {temperatures}" if all(seer.description.calibration for seer in self.seers) else (
            "not calibrated, as not all folds are validated")
        kind, device = "Classifier" if len(self.seers) == 1 else "Ensemble", device_in_words(self.seers[0].device)
        return "\n".join([
            *(f"{kind}, on {device}: {seer.classifier.in_words} ({member.shown})"
              for seer, member in zip(self.seers, chosen.members, strict=True)),
            f"Why: {chosen.why}",
            f"Tells: {self.target.name} ({', '.join(self.target.classes)}), "
            f"{calibrated}" + (f"; sees {names}, too" if names else "")])

    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        outputs = OutputFolder(folder, self._origin(), overwrite)
        outputs.claim_tables(CLASSES)
        outputs.require_own_tables(*self.subfolders)
        return outputs

    def _origin(self) -> Origin:
        temperatures = [seer.calibration.temperature for seer in self.seers]
        return origin_of([seer.classifier.facts() for seer in self.seers],
                         temperature=temperatures[0] if len(temperatures) == 1 else temperatures,
                         thresholds=list(self.thresholds), covariates="none" if self.sheet is None else self.sheet.digest)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return the thresholds of what is told (see `decided`)."""
        each = [seer.calibration.thresholds or default_thresholds(self.target) for seer in self.seers]
        return each[0] if len(each) == 1 else tuple(np.mean(each, axis=0).tolist())

    def _warnings(self, image: Image, case: str) -> tuple[str, ...]:
        in_gray = ("it is a colour picture, and seen in gray, as the training pictures are",) if (
            len(image.array) == 3 and len(self.plans.channel_names) == 1 and not is_gray(image.array)) else ()
        return (*in_gray, *unlike_training(image, self.plans.images, [window is not None for window in self.plans.windows]),
                *unusual(self.covariates, self._cells(case, self.covariates)))

    def _cells(self, case: str, covariates: Sequence[Covariate]) -> tuple[str, ...] | None:
        if self.sheet is None or case not in self.sheet.rows:
            return None
        cells = dict(zip(self.sheet.columns, self.sheet.rows[case], strict=True))
        return tuple(cells[covariate.name] for covariate in covariates)

    def _files(self, item: PredictionInput) -> tuple[Path, ...]:
        """Return the files that a row is made from: the image, and its region where one is looked at."""
        region = None if self.regions is None else region_files(self.regions).get(item.name)
        return item.images if region is None else (*item.images, region)

    def _framed(self, image: Image, case: str, plans: ClassPlans) -> Framed:
        region = None if self.regions is None else read_region(self.regions, case, image)
        return frame_image(image, case, plans, region if plans.roi else None)

    def _given(self, case: str, covariates: Sequence[Covariate]) -> np.ndarray:
        """Return the covariates of a case, as encoded."""
        return encoded(covariates, self._cells(case, covariates) or ("",) * len(covariates))

    def _row(self, image: Image, case: str) -> ClassRow:
        framed = dict[str, np.ndarray]()
        found = []
        for seer in self.seers:
            plans = seer.description.plans
            if (key := plans_digest(plans)) not in framed:
                framed[key] = self._framed(image, case, plans).array
            found.append(seer.probabilities(framed[key], self._given(case, covariates_of([seer])), case))
        return answer_row(case, self.target, np.mean(found, axis=0), self.thresholds)

    def predict_files(
        self, inputs: Iterable[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        """Write the table `classes.csv`, at the end, from the record of the folder: it holds what other commands told with the
        same classifier, too. Where that was asked for, write the maps of each case into `explain/`."""
        outcomes = self._classified(inputs, folder, overwrite)
        return outcomes if self.explainer is None else with_maps(
            outcomes, lambda item: [picture_path(folder, item.name)], partial(self._explain, self.explainer, folder))

    def _explain(self, explainer: Explainer, folder: Path, item: PredictionInput) -> None:
        """Write the maps of a case, a table of what its covariates count, and last the picture."""
        image, case, seer = read_input(item), item.name, self.seers[0]
        framed, given = self._framed(image, case, self.plans), self._given(case, self.covariates)
        found = explainer.maps(framed.array, given, case)
        back = {name: framed.frame.back(values) for name, values in found.named.items()}
        write_maps(folder, case, image, {name: values for name, values in back.items() if name != RANDOM})
        rows = self.sheet.rows if self.sheet is not None else ()
        others = [self._given(name, self.covariates) for name in rows if name != case]
        if others and self.covariates:
            changes = covariate_changes(seer, framed.array, given, np.stack(others), self.covariates)
            cells = self._cells(case, self.covariates) or ("",) * len(self.covariates)
            write_rows(folder / EXPLAIN / f"{case}_covariates.csv", CovariateRow, covariate_rows(case, changes, cells))
        draw_maps(picture_path(folder, case), image.array, rows_of(back), f"{case}: evidence for {found.of}",
                  image.geometry.spacing_mm, image.geometry.orientation)

    def _classified(
        self, inputs: Iterable[PredictionInput], folder: Path, overwrite: bool
    ) -> Iterator[Outcome[PredictionInput]]:
        outputs, table = self.outputs(folder, overwrite), folder / CLASSES
        kind = answer_kind(self.target)

        def earlier(item: PredictionInput) -> Written | None:
            entry = outputs.made(_entry(item), self._files(item), is_file=False)
            if entry is None or entry.result is None:
                return None
            return Written(table, kind.model_validate(entry.result), was_there=True, warnings=entry.warnings)

        def classify(item: PredictionInput) -> Written:
            image = read_input(item)
            row, warnings = self._row(image, item.name), self._warnings(image, item.name)
            with outputs.writing(_entry(item), self._files(item), row, warnings):
                pass
            return Written(table, row, warnings=warnings)

        try:
            yield from predict_cases(inputs, outputs, _entry, earlier,
                                     lambda waiting: ((item, partial(classify, item)) for item in waiting))
        finally:
            if rows := [kind.model_validate(result) for result in outputs.results.values()]:
                write_rows(table, kind, sorted(rows, key=lambda row: row.case))

    def predict_image(self, image: Image, case: str, probabilities: bool = False) -> Answer:
        self.without_probabilities(probabilities)
        return Answer(row=self._row(image, case), warnings=self._warnings(image, case))

    def made(self, written: int, extra: int) -> str:
        return f"{written} row(s) in {CLASSES}{f' and maps in {EXPLAIN}/' * (self.explainer is not None)}"

    def notes(self, rows: Sequence[Any]) -> list[str]:
        return [] if self.explainer is None else [NO_PROOF]

    def table(self, rows: Sequence[Any]) -> Table | None:
        from autoseg.tasks.classification.tables import answers_table

        return answers_table(list(rows), self.target)


def _entry(item: PredictionInput) -> str:
    """Return the name of a case in the record of outputs, which no file has."""
    return f"{item.name} in {CLASSES}"


def open_models(
    chosen: Chosen, folds: Sequence[str] | None, options: PredictOptions, device: str, apply_rules: object = None
) -> ClassificationPrediction:
    """Return the chosen classifiers on a device, "auto", "cpu", "cuda", ... Raises AutosegError where a folder holds none, or has
    no such folds, where they cannot be averaged, or the table lacks a covariate."""
    if options.explain:
        require_captum()
        if len(chosen.members) > 1:
            raise AutosegError("--explain explains one classifier, and an ensemble of several is meant. Name one with -tr: "
                               f"{', '.join(member.recipe for member in chosen.members)}.")
    target = resolve_device(device)
    seers = [Seer(load_classifier(member, folds, target), target) for member in chosen.members]
    _require_alike([seer.description for seer in seers])
    regions = [seer.description.plans.roi for seer in seers]
    if any(regions) and options.roi is None:
        raise AutosegError("This classifier looks at a labelled region. Give, with --roi, the model that segments it, or the "
                           "folder of its label files.")
    if options.roi is not None and not any(regions):
        raise AutosegError("This classifier looks at whole images, and takes no region. Leave out --roi.")
    if options.roi is not None:
        region_files(options.roi)
    sheet = _sheet(options, covariates_of(seers))
    return ClassificationPrediction(seers, sheet, options.roi, Explainer(seers[0]) if options.explain else None)


def covariates_of(seers: Sequence[Seer]) -> tuple[Covariate, ...]:
    """Return the covariates that classifiers see; those of an ensemble are the same, but for classifiers that see none."""
    return next((its.plans.covariates for its in (seer.description for seer in seers) if its.shape.covariates), ())


def _require_alike(members: Sequence[ClassifierDescription]) -> None:
    """Raise AutosegError where classifiers cannot be averaged."""
    first, *others = members
    for other in others:
        its, ours = ({
            "classes": f"{of.plans.target.kind} {', '.join(of.plans.target.classes)}", "channels": ", ".join(of.channel_names),
            "covariates": ", ".join(one.name for one in of.plans.covariates)} for of in (other, first))
        if differing := [f"{name} ({ours[name]} against {its[name]})" for name in ours if its[name] != ours[name]]:
            raise AutosegError(f"{first.called} and {other.called} cannot be averaged: they differ in {'; '.join(differing)}. "
                               "Name classifiers of one target.")


def _sheet(options: PredictOptions, covariates: Sequence[Covariate]) -> Sheet | None:
    if options.covariates is None:
        return None
    if not covariates:
        raise AutosegError("This classifier takes no covariates. Leave out --covariates.")
    sheet = read_sheet(options.covariates)
    require_without_errors(options.covariates, sheet.faults)
    if missing := [covariate.name for covariate in covariates if covariate.name not in sheet.columns]:
        raise AutosegError(f"{options.covariates} has no column {', '.join(missing)}, but this classifier takes "
                           f"{', '.join(covariate.name for covariate in covariates)}. It has: "
                           f"{', '.join(sheet.columns) or 'none but case'}.")
    return sheet
