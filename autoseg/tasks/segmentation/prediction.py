"""Segmentations of files: models and ensembles opened for `autoseg_predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from autoseg.best import Rule
from autoseg.console import show_unless_quiet
from autoseg.device import device_in_words, resolve_device
from autoseg.errors import AutosegError
from autoseg.explaining.attribution import NO_PROOF
from autoseg.explaining.maps import EXPLAIN, draw_maps, picture_path, with_maps, write_maps
from autoseg.image import Image
from autoseg.image_io import file_ending, label_ending
from autoseg.inference.cases import Handed
from autoseg.inference.choice import Chosen
from autoseg.inference.engines import engine_in_words, require_engine
from autoseg.inference.inputs import PredictionInput, read_input
from autoseg.inference.prediction import Answer, CaseProgress, Prediction
from autoseg.parallel import Outcome
from autoseg.preprocessing.store import Spacing
from autoseg.provenance import OutputFolder
from autoseg.tasks.segmentation.explaining import explain_image, require_gradients
from autoseg.tasks.segmentation.files import DICOM, IN_WORDS, SUBFOLDERS, DicomKind, file_names
from autoseg.tasks.segmentation.model import LoadedModel, load_model
from autoseg.tasks.segmentation.options import PredictOptions
from autoseg.tasks.segmentation.predictor import Predictor, require_same_task
from autoseg.tasks.segmentation.previous_stage import has_other_weights
from autoseg.tasks.segmentation.probabilities import read_probabilities
from autoseg.ways import TakenWay, Way, Wish, taken_way
from autoseg.workspace import ModelFolder

ApplyRules = Callable[[np.ndarray, Spacing, Sequence[Rule]], np.ndarray]


class SegmentationPrediction(Prediction):
    """One model, or several whose probabilities are averaged."""

    doing, done = "Segmenting", "segmented"
    subfolders: tuple[str, ...] = SUBFOLDERS

    def __init__(self, predictor: Predictor, options: PredictOptions, taken: TakenWay) -> None:
        self.predictor, self.options, self.taken, self._dicom = predictor, options, taken, options.dicom
        self._kinds: set[DicomKind] = set()  # of the files that were asked for
        if options.explain:
            self.subfolders = (*SUBFOLDERS, EXPLAIN)
        has_labels = options.dicom is None or "nifti" in options.dicom
        self.compare_with = ("REFERENCE_DIR", "where you have reference labels") if has_labels else None

    @property
    def channel_names(self) -> tuple[str, ...]:
        return self.predictor.description.channel_names

    def in_words(self, chosen: Chosen) -> str:
        models = [f"{member.model.in_words} ({folder.shown})" + (f", after {member.previous.in_words}" if member.previous else "")
                  for member, folder in zip(self.predictor.members, chosen.members, strict=True)]
        device = device_in_words(self.predictor.device, self.options.precision) + engine_in_words(self.options.engine)
        lines = [f"Models, mean of their probabilities, on {device}:", *(f"  {model}" for model in models)] if len(models) > 1 \
            else [f"Model, on {device}: {models[0]}"]
        says = "; ".join(chosen.says) or "none"
        if chosen.rules and not self.options.postprocessing:
            says = f"none, as you asked (find-best chose: {says})"
        way = [f"Way: {self.taken.says}"] if self.taken.says else []
        return "\n".join([*lines, f"Why: {chosen.why}", *way, f"Post-processing: {says}"])

    def outputs(self, folder: Path, overwrite: bool) -> OutputFolder:
        outputs = self.predictor.outputs(folder, overwrite, self.options.dicom_labelmap)
        if self.options.explain:
            outputs.require_own_tables(EXPLAIN)
        return outputs

    def predict_files(
        self, inputs: Iterable[PredictionInput], folder: Path, overwrite: bool, progress: CaseProgress | None = None
    ) -> Iterator[Outcome[PredictionInput]]:
        if not isinstance(inputs, Handed):
            self._kinds |= {kind for item in inputs for kind in file_names(item, self._dicom)}
        outcomes = self.predictor.predict_files(inputs, folder, overwrite, self.options.save_probabilities, progress, self._dicom,
                                                self.options.dicom_labelmap)
        return outcomes if not self.options.explain else with_maps(
            outcomes, lambda item: [picture_path(folder, item.name)], partial(self._explain, folder))

    def _explain(self, folder: Path, item: PredictionInput) -> None:
        """Write the maps of a case, and last the picture."""
        image = read_input(item)
        maps = explain_image(self.predictor, image, item.name)
        write_maps(folder, item.name, image, maps)
        draw_maps(picture_path(folder, item.name), image.array, {name: {name: values} for name, values in maps.items()},
                  f"{item.name}: voxels that each volume depends on", image.geometry.spacing_mm, image.geometry.orientation)

    def makes_only(self, ending: str, image: Path) -> bool:
        is_dicom = file_ending(image) == DICOM
        self._dicom = None if not is_dicom else ("seg",) if ending == DICOM else ("nifti",)
        return ending in (label_ending(file_ending(image)), *([DICOM] if is_dicom else []))

    def predict_image(self, image: Image, case: str, probabilities: bool = False) -> Answer:
        warnings = tuple(self.predictor.warnings_of(image, case))
        if not probabilities:
            return Answer(self.predictor.predict_image(image, case), warnings=warnings)
        with TemporaryDirectory() as folder:
            file = Path(folder) / "probabilities.b2nd"
            return Answer(self.predictor.predict_image(image, case, file), read_probabilities(file), warnings=warnings)

    def notes(self, rows: Sequence[Any]) -> list[str]:
        said = [NO_PROOF] if self.options.explain else []
        return said + [f"Note: {note}" for note in dict.fromkeys(
            note for member in self.predictor.members for note in member.model.description.notes)]

    def made(self, written: int, extra: int) -> str:
        kinds = ", ".join(words for kind, words in IN_WORDS.items() if kind in self._kinds)
        maps = f" and maps in {EXPLAIN}/" * self.options.explain
        return f"{written} segmentation(s){f' as {kinds}' * any(kind in self._kinds for kind in SUBFOLDERS)}{maps}"


def open_models(
    chosen: Chosen, folds: Sequence[str] | None, options: PredictOptions, device: str, apply_rules: ApplyRules
) -> SegmentationPrediction:
    """Return the chosen models on a device, "auto", "cpu", "cuda", ... apply_rules: of post-processing.

    Raises AutosegError where a folder is not a model that segments, has no such folds, or the models do not fit each other.
    """
    if not 0 < options.step_size <= 1:
        raise AutosegError(f"--step-size is {options.step_size:g}, but must be above 0 and 1 at most.")
    if options.explain:
        require_gradients(options)
    wishes = ("step_size", "mirroring", "skip_empty")
    given = {name: getattr(options, name) for name in wishes if name in options.model_fields_set}
    taken = taken_way(chosen.ways, Wish(
        given.get("step_size"), given.get("mirroring"), options.accurate, options.fast, given.get("skip_empty")))
    target = resolve_device(device)
    require_engine(options.engine, target, options.precision)
    loaded = [load_model(folder, folds, options.checkpoint, target, options.engine, options.precision)
              for folder in chosen.members]
    rules = chosen.rules if options.postprocessing else ()
    if options.dicom_labelmap and any(model.description.labels.has_regions for model in loaded):
        raise AutosegError("--dicom-labelmap writes one number for each voxel, but these models segment regions, which overlap. "
                           "Leave it out.")
    previous = [_stage_before(folder, its, options, taken.first, target)
                for folder, its in zip(chosen.members, loaded, strict=True)]
    return SegmentationPrediction(
        Predictor(loaded, target, options.precision, way=taken.way, rules=rules, previous=previous, engine=options.engine,
                  postprocess=(lambda labels, spacing_mm: apply_rules(labels, spacing_mm, rules)) if rules else None),
        options, taken)


def _stage_before(
    folder: ModelFolder, model: LoadedModel, options: PredictOptions, way: Way, device: torch.device
) -> Predictor | None:
    """Return the model of the stage that a cascade's second goes on from: all of its folds; None for a model without.

    Raises AutosegError where it is not there, or is of other labels or channels.
    """
    stage = model.description.configuration.previous_stage
    if stage is None:
        return None
    first = folder.beside(stage)
    if not (first.model_json.exists() and first.finished_folds()):
        raise AutosegError(
            f"{folder.root} goes on from the segmentation by {stage}, but {first.root} holds no trained model of it. Train it "
            f"with autoseg_train (-c {stage}), or copy its folder there from where this model comes.")
    loaded = load_model(first, None, options.checkpoint, device, options.engine, options.precision)
    require_same_task([model.description, loaded.description])
    if has_other_weights(folder, stage, model.folds):
        show_unless_quiet(f"Warning: {folder.root} was trained on segmentations by other weights of {stage} than those that are "
                          f"in {first.root} now.")
    return Predictor([loaded], device, options.precision, way=way)
