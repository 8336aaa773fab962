"""autoseg_predict: predictions for new images, by trained models."""

from __future__ import annotations

import argparse
import sys

from autoseg import api
from autoseg.cli.command import Command, add_device, add_gpus, add_options, add_workspace, main_of, of_tasks, tell_written


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="input", required=True, metavar="IN",
                        help="a folder of images, or one image; every DICOM series below the folder is an image, too")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT",
                        help=f"folder for what is made: {of_tasks('writes')}; or, for one image that is segmented, a file")
    parser.add_argument("-d", dest="dataset", metavar="DATASET", help="whose models (default: the only one there is)")
    parser.add_argument("-m", dest="model", nargs="+", metavar="MODEL",
                        help="a model's folder (holds model.json), or a zip archive that autoseg export wrote, of which -c and "
                             "-tr name those that are meant; several make an ensemble")
    parser.add_argument("-c", dest="configuration", nargs="+", metavar="CONFIG",
                        help=f"configuration of the model: {of_tasks('configurations')}; several make an ensemble (default: what "
                             "find-best chose)")
    parser.add_argument("-tr", "--trainer", dest="recipe", nargs="+", metavar="RECIPE",
                        help=f"the recipe it was trained with, such as {of_tasks('recipe')}, or the name it was given; several "
                             "make an ensemble")
    parser.add_argument("-f", dest="folds", nargs="+", metavar="FOLD",
                        help="folds of each model to average (default: all finished ones)")
    parser.add_argument("--overwrite", action="store_true", help="predict also what is already there")
    parser.add_argument("--repair", action="store_true",
                        help="fill gaps of missing slices of DICOM series from the slices beside, and undo a tilt of the gantry; "
                             "without it, such series are refused")
    add_options(parser, api.prediction_flags())
    add_device(parser)
    add_gpus(parser, "spread the images over the first N GPUs, a process each; with --device cpu over N processes on the CPU")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.predict_files(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, configuration=flags.configuration,
        recipe=flags.recipe, folds=flags.folds, overwrite=flags.overwrite, device=flags.device, workspace=flags.workspace,
        repair=flags.repair, gpus=flags.gpus, **api.given_options(api.prediction_flags(), vars(flags)))
    if (gate := result.gate) is not None:
        print(f"Wrote {gate.path}: {len(gate.flagged)} of {gate.cases} images flagged as unlike the gate's training data.")
        for case, reason in gate.flagged.items():
            print(f"  {case}: {reason}")
    code = tell_written(result.made, len(result.written), result.failed, result.already_there, flags.output, result.done,
                        result.compare_with)
    for warning in result.warnings_in_words:
        print(f"Warning: {warning}", file=sys.stderr)
    for note in result.notes:
        print(note)
    return code


COMMAND = Command(
    "predict", "Predict images with trained models, of whatever task.",
    add_flags, run, goes_on=True)
main = main_of(COMMAND, "autoseg_predict")
