"""autoseg_predict: what trained models make of new images."""

from __future__ import annotations

import argparse

from autoseg import api
from autoseg.cli.command import Command, add_device, add_options, add_workspace, main_of, tell_written


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
    add_options(parser, api.prediction_flags())
    add_device(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    result = api.predict_files(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, configuration=flags.configuration,
        recipe=flags.recipe, folds=flags.folds, overwrite=flags.overwrite, device=flags.device, workspace=flags.workspace,
        **api.given_options(api.prediction_flags(), vars(flags)))
    if (gate := result.gate) is not None:
        print(f"Wrote {gate.path}: {len(gate.flagged)} of {gate.cases} images flagged as unlike the gate's training data.")
        for case, reason in gate.flagged.items():
            print(f"  {case}: {reason}")
    code = tell_written(result.made, len(result.written), result.failed, result.already_there, flags.output, result.done,
                        result.compare_with)
    for note in result.notes:
        print(note)
    return code


COMMAND = Command(
    "predict", "Segment images with a trained model, score with an anomaly detector how unlike the normal they are, or find a "
    "level in them with a locator.", add_flags, run)
main = main_of(COMMAND, "autoseg_predict")
