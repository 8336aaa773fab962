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
from autoseg.tasks.classification.model import load_classifier
from autoseg.tasks.classification.options import PredictOptions
from autoseg.tasks.classification.plan import Target
from autoseg.tasks.classification.regions import read_region, region_files
from autoseg.tasks.classification.rows import CLASSES, ClassRow, answer_kind, answer_row
from autoseg.tasks.classification.seer import Seer
from autoseg.tasks.classification.sheets import Sheet, read_sheet, require_without_errors

if TYPE_CHECKING:
    from rich.table import Table


class ClassificationPrediction(Prediction):
    """One classifier. sheet: the table of covariates, None where it takes none or none was given."""

    done = "classified"
    doing = "Classifying"
    compare_with = ("TRUTH.csv", "where you know the classes, as a table of case and class")

    def __init__(
        self, seer: Seer, sheet: Sheet | None, regions: Path | None = None, explainer: Explainer | None = None
    ) -> None:
        self.seer, self.sheet, self.plans, self.regions = seer, sheet, seer.description.plans, regions
        self.one_file_each = self.plans.source.layout == "folders"
        self.covariates = self.plans.covariates if seer.description.shape.covariates else ()
        self.explainer, self.subfolders = explainer, () if explainer is None else (EXPLAIN,)

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.seer.description.channel_names

    @property
    def target(self) -> Target:
        """Return what is told."""
        return self.plans.target

    def in_words(self, chosen: Chosen) -> str:
        seer, names = self.seer, ", ".join(covariate.name for covariate in self.covariates)
        calibrated = f"at temperature {seer.calibration.temperature:g}" if seer.description.calibration else (
            "not calibrated, as not all folds are validated")
        return "\n".join([
            f"Classifier, on {device_in_words(seer.device)}: {seer.classifier.in_words} ({chosen.members[0].shown})",
            f"Why: {chosen.why}",
            f"Tells: {self.target.name} ({', '.join(self.target.classes)}), "
            f"{calibrated}" + (f"; sees {names}, too" if names else "")])

    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        outputs = OutputFolder(folder, self._origin(), overwrite)
        outputs.claim_tables(CLASSES)
        outputs.require_own_tables(*self.subfolders)
        return outputs

    def _origin(self) -> Origin:
        its = self.seer.calibration
        return origin_of([self.seer.classifier.facts()], temperature=its.temperature, thresholds=list(its.thresholds),
                         covariates="none" if self.sheet is None else self.sheet.digest)

    def _warnings(self, image: Image, case: str) -> tuple[str, ...]:
        in_gray = ("it is a colour picture, and seen in gray, as the training pictures are",) if (
            len(image.array) == 3 and len(self.plans.channel_names) == 1 and not is_gray(image.array)) else ()
        return (*in_gray, *unlike_training(image, self.plans.images, [window is not None for window in self.plans.windows]),
                *unusual(self.covariates, self._cells(case)))

    def _cells(self, case: str) -> tuple[str, ...] | None:
        if self.sheet is None or case not in self.sheet.rows:
            return None
        cells = dict(zip(self.sheet.columns, self.sheet.rows[case], strict=True))
        return tuple(cells[covariate.name] for covariate in self.covariates)

    def _files(self, item: PredictionInput) -> tuple[Path, ...]:
        """Return the files that a row is made from: the image, and its region where one is looked at."""
        region = None if self.regions is None else region_files(self.regions).get(item.name)
        return item.images if region is None else (*item.images, region)

    def _framed(self, image: Image, case: str) -> Framed:
        region = None if self.regions is None else read_region(self.regions, case, image)
        return frame_image(image, case, self.plans, region)

    def _given(self, case: str) -> np.ndarray:
        """Return the covariates of a case, as encoded."""
        return encoded(self.covariates, self._cells(case) or ("",) * len(self.covariates))

    def _row(self, image: Image, case: str) -> ClassRow:
        found = self.seer.probabilities(self._framed(image, case).array, self._given(case), case)
        return answer_row(case, self.target, found, self.seer.calibration.thresholds)

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
        image, case = read_input(item), item.name
        framed, given = self._framed(image, case), self._given(case)
        found = explainer.maps(framed.array, given, case)
        back = {name: framed.frame.back(values) for name, values in found.named.items()}
        write_maps(folder, case, image, {name: values for name, values in back.items() if name != RANDOM})
        others = [self._given(name) for name in (self.sheet.rows if self.sheet is not None else ()) if name != case]
        if others and self.covariates:
            changes = covariate_changes(self.seer, framed.array, given, np.stack(others), self.covariates)
            rows = covariate_rows(case, changes, self._cells(case) or ("",) * len(self.covariates))
            write_rows(folder / EXPLAIN / f"{case}_covariates.csv", CovariateRow, rows)
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
    """Return the chosen classifier on a device, "auto", "cpu", "cuda", ... Raises AutosegError where the folder holds none, or
    has no such folds, or the table lacks a covariate."""
    if options.explain:
        require_captum()
    target = resolve_device(device)
    loaded = load_classifier(chosen.members[0], folds, target)
    its = loaded.description
    if its.plans.roi and options.roi is None:
        raise AutosegError("This classifier looks at a labelled region. Give, with --roi, the model that segments it, or the "
                           "folder of its label files.")
    if options.roi is not None and not its.plans.roi:
        raise AutosegError("This classifier looks at whole images, and takes no region. Leave out --roi.")
    if options.roi is not None:
        region_files(options.roi)
    sheet, seer = _sheet(options, its.plans, its.shape.covariates), Seer(loaded, target)
    return ClassificationPrediction(seer, sheet, options.roi, Explainer(seer) if options.explain else None)


def _sheet(options: PredictOptions, plans: Any, width: int) -> Sheet | None:
    if options.covariates is None:
        return None
    if not width:
        raise AutosegError("This classifier takes no covariates. Leave out --covariates.")
    sheet = read_sheet(options.covariates)
    require_without_errors(options.covariates, sheet.faults)
    if missing := [covariate.name for covariate in plans.covariates if covariate.name not in sheet.columns]:
        raise AutosegError(f"{options.covariates} has no column {', '.join(missing)}, but this classifier takes "
                           f"{', '.join(covariate.name for covariate in plans.covariates)}. It has: "
                           f"{', '.join(sheet.columns) or 'none but case'}.")
    return sheet


