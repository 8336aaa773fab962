"""Options that a user may give to a segmentation: for planning, predicting and evaluating."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from autoseg.bounds import Engine, FullPath, Gigabytes, Many, Precision
from autoseg.options import option
from autoseg.plan import Frozen


class PlanOptions(Frozen):
    """Options of planning; None leaves the choice to the planner. Field names are the long flags of the command line."""

    configurations: tuple[str, ...] | None = option(
        None, "what is preprocessed, and by autoseg run trained: 2d 3d_fullres 3d_lowres 3d_cascade_fullres (default: all that "
              "were planned)",
        flag="-c", metavar="CONFIG")
    planner: str = option("default", "who decides (default: default)")
    memory_gb: Gigabytes | None = option(
        None, "GPU memory that training may take (default: the planner's: 8, resenc_l 24, resenc_xl 40)", metavar="GB")
    training_gpus: Many | None = option(
        None, "GPUs that one training is to use (autoseg_train --gpus): the batch is as large as they hold together; --memory-gb "
              "is of each (default: 1)", metavar="N")
    pretrained: FullPath | None = option(
        None, "a trained model's folder that the training is to start from: the plan is that model's, of its configuration alone",
        flag="--from", metavar="MODEL")


class PredictOptions(Frozen):
    """Options of predicting files."""

    checkpoint: Literal["final", "best"] = option(
        "final", "weights after the last epoch, or of the epoch with the best online validation (default: final)")
    step_size: float = option(
        0.5, "how far neighbouring tiles lie apart, as a share of the patch, above 0 and 1 at most; larger is faster and a "
             "little less accurate (default: as find-best chose, else 0.5)", metavar="SHARE")
    precision: Precision = option(
        "auto", "numbers that the network computes with (default: float16 on CUDA, bfloat16 on a CPU that has it, else float32); "
                "float32 is slower, and gives what nnU-Net gives on a CPU")
    engine: Engine = option(
        "torch", "what runs the network: torch, or openvino on a CPU (faster; see docs/hardware.md)")
    mirroring: bool = option(True, "faster (up to 8 times in 3D), a little less accurate (default: as find-best chose)")
    skip_empty: bool = option(True, "cover all of an image with tiles, also where the training cases say that nothing can be, "
                                    "such as the air around a body (default: as find-best chose)")
    accurate: bool = option(False, "in full: all mirroring, tiles half a patch apart, all of the image, whatever find-best chose")
    fast: bool = option(False, "the fastest way that find-best measured, and what it costs")
    postprocessing: bool = option(True, "leave out the rules that find-best chose")
    save_probabilities: bool = option(False, "also write each class's probabilities (.b2nd)")
    explain: bool = option(
        False, "also write, into explain/, a map of the voxels that the volume of each class depends on (gradient), as NIfTI and "
               "as pictures; takes several times as long")
    dicom: tuple[Literal["seg", "rtstruct", "nifti"], ...] | None = option(
        None, "what is written of a DICOM series: seg and rtstruct, DICOM objects in folders of these names, and nifti (default: "
              "seg nifti)")
    dicom_labelmap: bool = option(
        False, "write DICOM SEG as one label map, which is smaller where labels are many, but which few other programs read yet")
    gate: Path | None = option(
        None, "an anomaly detector's folder: score each image with it first, into gate.csv, and name those that are unlike its "
              "training data; they are segmented all the same", metavar="MODEL_DIR")
    gate_percentile: float | None = option(
        None, "of the scores of the detector's normal validation cases, above which an image is named (default: 99)", metavar="P")


class EvaluateOptions(Frozen):
    """Options of evaluating."""

    tolerance_mm: float | None = option(
        None, "distance up to which surfaces agree, for the normalised surface Dice (default: 2.0)", metavar="MM")
    subset: bool = option(False, "leave out references that have no prediction, rather than count them as failed")
