"""autoseg_predict: segmentations of new images."""

from __future__ import annotations

import argparse
import sys

from autoseg.cli.command import Command, add_workspace, main_of


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="input", required=True, metavar="IN", help="a folder of images, or one image")
    parser.add_argument("-o", dest="output", required=True, metavar="OUT", help="folder for the segmentations")
    parser.add_argument("-d", dest="dataset", metavar="DATASET", help="whose models (default: the only one there is)")
    parser.add_argument("-m", dest="model", nargs="+", metavar="MODEL_DIR",
                        help="a model's folder (holds model.json); several make an ensemble")
    parser.add_argument("-c", dest="configuration", nargs="+", metavar="CONFIG",
                        help="2d, 3d_fullres or 3d_lowres; several make an ensemble (default: what find-best chose)")
    parser.add_argument("-tr", "--trainer", dest="recipe", nargs="+", metavar="RECIPE",
                        help="the recipe it was trained with; several make an ensemble")
    parser.add_argument("-f", dest="folds", nargs="+", metavar="FOLD",
                        help="folds of each model to average (default: all finished ones)")
    parser.add_argument("--checkpoint", choices=("final", "best"), default="final", help="default: final")
    parser.add_argument("--no-mirroring", action="store_true", help="faster (up to 8 times in 3D), a little less accurate")
    parser.add_argument("--no-postprocessing", action="store_true", help="leave out the rules that find-best chose")
    parser.add_argument("--save-probabilities", action="store_true", help="also write each class's probabilities (.b2nd)")
    parser.add_argument("--overwrite", action="store_true", help="predict also what is already there")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, ..., mps (default: auto)")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.predict_files(
        flags.input, flags.output, dataset=flags.dataset, model=flags.model, configuration=flags.configuration,
        recipe=flags.recipe, folds=flags.folds, checkpoint=flags.checkpoint, mirroring=not flags.no_mirroring,
        postprocessing=not flags.no_postprocessing, save_probabilities=flags.save_probabilities, overwrite=flags.overwrite,
        device=flags.device, workspace=flags.workspace,
    )
    there = f" ({result.already_there} were there already; --overwrite predicts them anew)" if result.already_there else ""
    print(f"Wrote {len(result.written)} segmentations to {flags.output}{there}.")
    for reason in result.failed.values():
        print(f"Failed: {reason}", file=sys.stderr)
    if result.failed:
        print(f"Error: {len(result.failed)} of {len(result.failed) + len(result.written)} images could not be segmented: "
              f"{', '.join(result.failed)}. The same command tries them again.", file=sys.stderr)
        return 1
    print(f"Next: autoseg evaluate REFERENCE_DIR {flags.output}   (where you have reference labels)")
    return 0


COMMAND = Command("predict", "Segment images with a trained model.", add_flags, run)
main = main_of(COMMAND, "autoseg_predict")
