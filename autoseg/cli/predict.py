"""autoseg_predict: segmentations of new images."""

from __future__ import annotations

import argparse

from autoseg.cli.command import Command, add_device, add_workspace, main_of, tell_written


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="input", required=True, metavar="IN", help="a folder of images, or one image")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT", help="folder for the segmentations")
    parser.add_argument("-d", dest="dataset", metavar="DATASET", help="whose models (default: the only one there is)")
    parser.add_argument("-m", dest="model", nargs="+", metavar="MODEL_DIR",
                        help="a model's folder (holds model.json); several make an ensemble")
    parser.add_argument("-c", dest="configuration", nargs="+", metavar="CONFIG",
                        help="2d, 3d_fullres or 3d_lowres; several make an ensemble (default: what find-best chose)")
    parser.add_argument("-tr", "--trainer", dest="recipe", nargs="+", metavar="RECIPE",
                        help="the recipe it was trained with, or the name it was given; several make an ensemble")
    parser.add_argument("-f", dest="folds", nargs="+", metavar="FOLD",
                        help="folds of each model to average (default: all finished ones)")
    parser.add_argument("--checkpoint", choices=("final", "best"), default="final", help="default: final")
    parser.add_argument("--no-mirroring", action="store_true", help="faster (up to 8 times in 3D), a little less accurate")
    parser.add_argument("--no-postprocessing", action="store_true", help="leave out the rules that find-best chose")
    parser.add_argument("--save-probabilities", action="store_true", help="also write each class's probabilities (.b2nd)")
    parser.add_argument("--overwrite", action="store_true", help="predict also what is already there")
    add_device(parser)
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.predict_files(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, configuration=flags.configuration,
        recipe=flags.recipe, folds=flags.folds, checkpoint=flags.checkpoint, mirroring=not flags.no_mirroring,
        postprocessing=not flags.no_postprocessing, save_probabilities=flags.save_probabilities, overwrite=flags.overwrite,
        device=flags.device, workspace=flags.workspace,
    )
    words = ("segmentation(s)", "images", "segmented")
    return tell_written(result.written, result.failed, result.already_there, flags.output, words)


COMMAND = Command("predict", "Segment images with a trained model.", add_flags, run)
main = main_of(COMMAND, "autoseg_predict")
