"""autoseg_plan_and_preprocess: a dataset checked, measured, planned and preprocessed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from autoseg.cli.command import Command, add_dataset, add_planner, add_workers, add_workspace, command_like, main_of

SLICES, PROJECTION, SEGMENTATION = "slices", "projection", "segmentation"


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("-c", dest="configurations", nargs="+", metavar="CONFIG",
                        help="what to preprocess: 2d 3d_fullres 3d_lowres (default: all that were planned)")
    add_planner(parser, of_all_kinds=True)
    parser.add_argument("--axis", metavar="AXIS",
                        help="with --planner slices sagittal, coronal or axial: what slices are perpendicular to (default: the "
                             "axis along which they lie farthest apart); with --planner projection x, y or z: along which a "
                             "level is found (default: z, from feet to head)")
    slices = parser.add_argument_group("with --planner slices, for anomaly detectors")
    slices.add_argument("--image-size", type=int, metavar="PIXELS", help="edge of the slices: 64, 128 or 256 (default: 64)")
    slices.add_argument("--normal", choices=("auto", "case_labels", "foreground", "all"),
                        help="which slices are normal: of cases that case_labels or their folder call so, those without "
                             "foreground, or all (default: auto, the first of these that the dataset can tell)")
    projection = parser.add_argument_group("with --planner projection, for locators; what is not given comes from the data")
    projection.add_argument("--find", nargs="+", metavar="LABEL",
                            help="the label whose middle is to be found, or two labels, between whose middles")
    projection.add_argument("--points", metavar="CSV",
                            help="instead of labels: a table of case and mm, in world coordinates along the axis; --find then "
                                 "only names what is found")
    projection.add_argument("--project", metavar="AXIS", help="x, y or z: what is projected away (default: x, left to right)")
    projection.add_argument("--slab", type=float, metavar="SHARE", help="of the extent along that, in its middle, that is seen")
    projection.add_argument("--channels", nargs="+", metavar="NAME",
                            help="what is seen along it: both (the mean of maximum and mean), maximum, mean (default: all three)")
    projection.add_argument("--window", nargs=2, type=float, metavar=("LOW", "HIGH"),
                            help="percentiles of the intensities that are told apart (default: 0.5 99.5)")
    projection.add_argument("--spacing", type=float, metavar="MM", help="edge of the projection's square pixels")
    projection.add_argument("--size", nargs=2, type=int, metavar=("ROWS", "COLUMNS"), help="pixels that training sees at a time")
    projection.add_argument("--depth", type=int, metavar="N", help="stages of the network (default: at most 5)")
    add_workers(parser)
    parser.add_argument("--skip-bad-cases", action="store_true", help="go on without the cases that have errors")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    _require_flags_of_planner(flags)
    return {SLICES: _slices, PROJECTION: _projection}.get(flags.planner, _segmentation)(flags)


def _segmentation(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.plan_and_preprocess(
        flags.dataset, configurations=flags.configurations, planner=flags.planner, memory_gb=flags.memory_gb,
        workers=flags.workers, skip_bad_cases=flags.skip_bad_cases, workspace=flags.workspace,
    )
    print(f"Wrote {result.folder}: dataset.json, fingerprint.json, plans.json, preprocessed/")
    if result.failed:
        return _tell_failed(result.failed, "preprocessed")
    which = ["-c", flags.configurations[0]] if flags.configurations and "3d_fullres" not in flags.configurations else []
    print(f"Next: {command_like(flags, 'autoseg_train', '0', *which)}")
    return 0


def _slices(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.plan_slices(
        flags.dataset, axis=flags.axis, image_size=64 if flags.image_size is None else flags.image_size,
        normal=flags.normal or "auto", workers=flags.workers, skip_bad_cases=flags.skip_bad_cases, workspace=flags.workspace)
    print(f"Wrote {result.folder}: plans_anomaly.json, preprocessed/slices/")
    counts, plans = result.slices, result.plans
    about = f"{plans.axis.capitalize()} slices" if plans.axis else "Pictures"
    cases = len(plans.source.training) - len(result.failed)
    print(f"{about} of {cases} cases: {counts.normal} normal, {counts.abnormal} abnormal, {counts.unknown} unknown, "
          f"{counts.blank} of one value everywhere. To be trained on: {counts.for_training} ({plans.reasons['normal_by']}).")
    if result.failed:
        return _tell_failed(result.failed, "cut")
    print(f"Next: {command_like(flags, 'autoseg_train', '0', '-tr', 'anogan')}")
    return 0


def _projection(flags: argparse.Namespace) -> int:
    from autoseg import api

    result = api.plan_projection(
        flags.dataset, find=flags.find or (), points=flags.points, axis=flags.axis or "z", project=flags.project, slab=flags.slab,
        window=tuple(flags.window) if flags.window else None, pixel_mm=flags.spacing,
        size=tuple(flags.size) if flags.size else None, depth=flags.depth, channels=flags.channels, workers=flags.workers,
        skip_bad_cases=flags.skip_bad_cases, workspace=flags.workspace)
    print(f"Wrote {result.folder}: plans_localization.json, preprocessed/projection/")
    plans, levels = result.plans, result.levels
    counts = [f"It is in {levels.there} cases", *([f"not in {levels.absent}"] if levels.absent else ()),
              *([f"and not known of {levels.unknown}"] if levels.unknown else ())]
    print(f"To be found along {plans.axis}: {plans.target.name}. {', '.join(counts)}. The middle {100 * plans.slab:.3g}% of each "
          f"are projected along {plans.project}, to pixels of {plans.pixel_mm:g} mm.")
    if result.failed:
        return _tell_failed(result.failed, "projected")
    print(f"Next: {command_like(flags, 'autoseg_train', '0', '-tr', 'locator')}")
    return 0


def _tell_failed(failed: dict[str, str], what: str) -> int:
    print(f"{len(failed)} case(s) could not be {what}:")
    for name, reason in failed.items():
        print(f"  {name}: {reason}")
    return 1


def _require_flags_of_planner(flags: argparse.Namespace) -> None:
    """Raises AutosegError for flags that the planner does not know."""
    from autoseg import api

    given = {name: whose for name, (value, whose) in _flags_of_planners(flags).items() if value is not None}
    planner = flags.planner if flags.planner in (SLICES, PROJECTION) else SEGMENTATION
    wrong = {name: whose for name, whose in given.items() if planner not in whose}
    if not wrong:
        return
    meant = [SEGMENTATION if whose == SEGMENTATION else f"--planner {whose}"
             for whose in dict.fromkeys(name for those in wrong.values() for name in those)]
    is_for = "is for" if len(wrong) == 1 else "are for"
    raise api.AutosegError(f"{' and '.join(wrong)} {is_for} {' and '.join(meant)}, and not for --planner {flags.planner}. Leave "
                           "one of them out.")


def _flags_of_planners(flags: argparse.Namespace) -> Mapping[str, tuple[object, tuple[str, ...]]]:
    """Each flag that not all planners know: its value, and those that do."""
    return {
        "-c": (flags.configurations, (SEGMENTATION,)), "--memory-gb": (flags.memory_gb, (SEGMENTATION,)),
        "--axis": (flags.axis, (SLICES, PROJECTION)), "--image-size": (flags.image_size, (SLICES,)),
        "--normal": (flags.normal, (SLICES,)), "--find": (flags.find, (PROJECTION,)), "--points": (flags.points, (PROJECTION,)),
        "--project": (flags.project, (PROJECTION,)), "--slab": (flags.slab, (PROJECTION,)),
        "--channels": (flags.channels, (PROJECTION,)),
        "--window": (flags.window, (PROJECTION,)), "--spacing": (flags.spacing, (PROJECTION,)),
        "--size": (flags.size, (PROJECTION,)), "--depth": (flags.depth, (PROJECTION,))}


COMMAND = Command(
    "plan_and_preprocess", "Check a dataset, plan spacing, patch size and network (or slices, or a projection), preprocess it.",
    add_flags, run)
main = main_of(COMMAND, "autoseg_plan_and_preprocess")
