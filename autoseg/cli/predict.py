"""autoseg_predict: segmentations of new images, scores of how unlike the normal ones they are, or where in them a level is."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from autoseg.cli.command import Command, add_device, add_workspace, main_of, tell_written

if TYPE_CHECKING:
    from autoseg.api.gate import GateResult


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="input", required=True, metavar="IN", help="a folder of images, or one image")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT",
                        help="folder for the segmentations; of an anomaly detector for maps, scores and panels/; of a locator "
                             "for locations.csv, pictures and crops/")
    parser.add_argument("-d", dest="dataset", metavar="DATASET", help="whose models (default: the only one there is)")
    parser.add_argument("-m", dest="model", nargs="+", metavar="MODEL_DIR",
                        help="a model's folder (holds model.json); several make an ensemble")
    parser.add_argument("-c", dest="configuration", nargs="+", metavar="CONFIG",
                        help="2d, 3d_fullres or 3d_lowres; several make an ensemble (default: what find-best chose); slices for "
                             "an anomaly detector, projection for a locator")
    parser.add_argument("-tr", "--trainer", dest="recipe", nargs="+", metavar="RECIPE",
                        help="the recipe it was trained with, such as anogan for an anomaly detector and locator for a locator, "
                             "or the name it was given; several make an ensemble")
    parser.add_argument("-f", dest="folds", nargs="+", metavar="FOLD",
                        help="folds of each model to average (default: all finished ones)")
    parser.add_argument("--overwrite", action="store_true", help="predict also what is already there")
    segmentation = parser.add_argument_group("for segmentation")
    segmentation.add_argument("--checkpoint", choices=("final", "best"), default="final", help="default: final")
    segmentation.add_argument("--no-mirroring", action="store_true",
                              help="faster (up to 8 times in 3D), a little less accurate")
    segmentation.add_argument("--no-postprocessing", action="store_true", help="leave out the rules that find-best chose")
    segmentation.add_argument("--save-probabilities", action="store_true", help="also write each class's probabilities (.b2nd)")
    segmentation.add_argument("--gate", metavar="MODEL_DIR",
                              help="an anomaly detector's folder: score each image with it first, into gate.csv, and name those "
                                   "that are unlike its training data; they are segmented all the same")
    segmentation.add_argument("--gate-percentile", type=float, metavar="P",
                              help="of the scores of the detector's normal validation cases, above which an image is named "
                                   "(default: 99)")
    apart = parser.add_argument_group("for anomaly detectors and locators")
    apart.add_argument("--set", dest="assignments", action="append", default=[], metavar="KEY=VALUE",
                       help="how a detector searches, such as --set search_steps=500, or how sure a locator must be, such as "
                            "--set threshold=0.4; `autoseg recipes` lists them (default: as it was trained with)")
    locators = parser.add_argument_group("for locators")
    locators.add_argument("--crop", dest="crop_mm", nargs="?", type=_millimetres, const=0.0, metavar="MM",
                          help="write the found slice as an image into crops/, or a slab around it that is MM millimetres thick")
    add_device(parser)
    add_workspace(parser)


def _millimetres(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text} is no thickness in mm. Leave it out for the found slice alone")
    return value


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    task = api.meant_task(flags.dataset, flags.model, flags.configuration, flags.recipe, flags.workspace)
    _require_flags_of(task, flags)
    return {"segmentation": _segment, "anomaly": _score, "localization": _locate}[task](flags)


def _segment(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.predict_files(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, configuration=flags.configuration,
        recipe=flags.recipe, folds=flags.folds, checkpoint=flags.checkpoint, mirroring=not flags.no_mirroring,
        postprocessing=not flags.no_postprocessing, save_probabilities=flags.save_probabilities, overwrite=flags.overwrite,
        device=flags.device, gate=flags.gate, gate_percentile=flags.gate_percentile, workspace=flags.workspace,
    )
    if result.gate is not None:
        _tell_gate(result.gate)
    words = ("segmentation(s)", "images", "segmented")
    return tell_written(result.written, result.failed, result.already_there, flags.output, words)


def _tell_gate(gate: GateResult) -> None:
    """Name the images that are flagged."""
    print(f"Wrote {gate.path}: {len(gate.flagged)} of {gate.cases} images flagged as unlike the gate's training data.")
    for case, reason in gate.flagged.items():
        print(f"  {case}: {reason}")


def _score(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.predict_anomalies(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, recipe=flags.recipe, folds=flags.folds,
        settings=flags.assignments, overwrite=flags.overwrite, device=flags.device, workspace=flags.workspace,
    )
    words = ("anomaly map(s), scores.csv, slice_scores.csv and panels/", "images", "scored")
    return tell_written(result.written, result.failed, result.already_there, flags.output, words,
                        evaluation=("TRUTH", "where you know which are abnormal; -h says how to give it"))


def _locate(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.predict_locations(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, recipe=flags.recipe, folds=flags.folds,
        settings=flags.assignments, crop_mm=flags.crop_mm, overwrite=flags.overwrite, device=flags.device,
        workspace=flags.workspace)
    also = " and locations.csv" if flags.crop_mm is None else f", locations.csv and {len(result.crops)} image(s) in crops/"
    words = (f"picture(s){also}", "images", "searched")
    code = tell_written(result.written, result.failed, result.already_there, flags.output, words, evaluation=None)
    if result.not_found:
        print(f"Not found in {len(result.not_found)} of {len(result.rows)} images: {', '.join(result.not_found)}")
    return code


def _require_flags_of(task: str, flags: argparse.Namespace) -> None:
    """Raises AutosegError for flags that mean nothing for the model."""
    from autoseg import api

    kinds = {kind.task: kind for kind in api.KINDS}
    segmentation, apart = ("segmentation",), tuple(kinds)
    only_for = {
        "--checkpoint best": (flags.checkpoint == "best", segmentation), "--no-mirroring": (flags.no_mirroring, segmentation),
        "--no-postprocessing": (flags.no_postprocessing, segmentation),
        "--save-probabilities": (flags.save_probabilities, segmentation), "--gate": (flags.gate is not None, segmentation),
        "--gate-percentile": (flags.gate_percentile is not None, segmentation), "--set": (bool(flags.assignments), apart),
        "--crop": (flags.crop_mm is not None, ("localization",))}
    given = {name: tasks for name, (is_given, tasks) in only_for.items() if is_given and task not in tasks}
    if given:
        whom = " and ".join(dict.fromkeys(kinds[of].plural if of in kinds else of for tasks in given.values() for of in tasks))
        meant = kinds[task].called if task in kinds else "a segmentation model"
        is_for = "is for" if len(given) == 1 else "are for"
        raise api.AutosegError(f"{' and '.join(given)} {is_for} {whom}, but the model meant here is {meant}. Leave it out, or "
                               "name another model with -c, -tr or -m.")


COMMAND = Command(
    "predict", "Segment images with a trained model, score with an anomaly detector how unlike the normal they are, or find a "
    "level in them with a locator.", add_flags, run)
main = main_of(COMMAND, "autoseg_predict")
