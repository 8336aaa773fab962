"""autoseg_plan_and_preprocess: a dataset checked, measured, planned and preprocessed."""

from __future__ import annotations

import argparse

from autoseg.cli.command import Command, add_dataset, add_planner, add_workers, add_workspace, command_like, main_of


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_dataset(parser)
    parser.add_argument("-c", dest="configurations", nargs="+", metavar="CONFIG",
                        help="what to preprocess: 2d 3d_fullres 3d_lowres (default: all that were planned)")
    add_planner(parser, slices=True)
    slices = parser.add_argument_group("with --planner slices, for anomaly detectors")
    slices.add_argument("--axis", choices=("sagittal", "coronal", "axial"),
                        help="what slices are perpendicular to (default: the axis along which they lie farthest apart)")
    slices.add_argument("--image-size", type=int, metavar="PIXELS", help="edge of the slices: 64, 128 or 256 (default: 64)")
    slices.add_argument("--normal", choices=("auto", "case_labels", "foreground", "all"),
                        help="which slices are normal: of cases that case_labels or their folder call so, those without "
                             "foreground, or all (default: auto, the first of these that the dataset can tell)")
    add_workers(parser)
    parser.add_argument("--skip-bad-cases", action="store_true", help="go on without the cases that have errors")
    add_workspace(parser)


def run(flags: argparse.Namespace) -> int:
    _require_flags_of_planner(flags)
    return _slices(flags) if flags.planner == "slices" else _segmentation(flags)


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
    print(f"Wrote {result.folder}: slices.json, preprocessed/slices/")
    counts, plans = result.slices, result.plans
    about = f"{plans.axis.capitalize()} slices" if plans.axis else "Pictures"
    cases = len(plans.source.training) - len(result.failed)
    print(f"{about} of {cases} cases: {counts.normal} normal, {counts.abnormal} abnormal, {counts.unknown} unknown, "
          f"{counts.blank} of one value everywhere. To be trained on: {counts.for_training} ({plans.reasons['normal_by']}).")
    if result.failed:
        return _tell_failed(result.failed, "cut")
    print(f"Next: {command_like(flags, 'autoseg_train', '0', '-tr', 'anogan')}")
    return 0


def _tell_failed(failed: dict[str, str], what: str) -> int:
    print(f"{len(failed)} case(s) could not be {what}:")
    for name, reason in failed.items():
        print(f"  {name}: {reason}")
    return 1


def _require_flags_of_planner(flags: argparse.Namespace) -> None:
    """Raises AutosegError for flags that the planner does not know."""
    from autoseg import api

    of_slices = {"--axis": flags.axis, "--image-size": flags.image_size, "--normal": flags.normal}
    of_segmentation = {"-c": flags.configurations, "--memory-gb": flags.memory_gb}
    is_slices = flags.planner == "slices"
    given = [name for name, value in (of_segmentation if is_slices else of_slices).items() if value is not None]
    if given:
        whom = "segmentation, and --planner slices is not" if is_slices else f"--planner slices, and not for {flags.planner}"
        raise api.AutosegError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} for {whom}. Leave one of them out.")


COMMAND = Command(
    "plan_and_preprocess", "Check a dataset, plan spacing, patch size and network (or slices), and preprocess it.", add_flags, run
)
main = main_of(COMMAND, "autoseg_plan_and_preprocess")
