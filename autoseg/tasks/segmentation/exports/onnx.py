"""A segmentation model as ONNX: the network of each fold, and a JSON file of all that comes before and after it."""

from __future__ import annotations

import importlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from autoseg.console import show_unless_quiet
from autoseg.errors import AutosegError
from autoseg.files import atomic_folder, write_json
from autoseg.inference.choice import Chosen
from autoseg.inference.finest import Finest, example_patches
from autoseg.tasks.segmentation.cascade import input_channels
from autoseg.tasks.segmentation.exports.description import described_steps
from autoseg.tasks.segmentation.exports.places import require_new_folder
from autoseg.tasks.segmentation.model import ModelDescription, load_model
from autoseg.versions import versions
from autoseg.ways import Wish, taken_way

NEEDS = ("onnx", "onnxscript", "onnxruntime")  # the extra
OPSET = 18
LARGEST_DIFFERENCE = 1e-3  # of logits, relative to the largest one
DESCRIPTION, EXAMPLE = "autoseg_onnx.json", "example_input.npy"


def export(
    chosen: Chosen, output: Path, folds: Sequence[str] | None, overwrite: bool, progress: Callable[..., Any], quiet: bool
) -> list[str]:
    """Write a folder with fold_X.onnx, an example of input and output, and `autoseg_onnx.json`; return what the user should know.

    Each network is float32, takes any number of patches of the plan's size, and is compared with PyTorch by ONNX Runtime. Raises
    AutosegError where several models are meant, the extra is not installed, the outputs differ, or the folder cannot be written.
    """
    if len(chosen.members) > 1:
        names = ", ".join(f"{member.configuration} {member.recipe}" for member in chosen.members)
        raise AutosegError(f"ONNX takes one model at a time, and {len(chosen.members)} are meant ({names}). Name one with -c.")
    _require_extra()
    require_new_folder(output, overwrite, (DESCRIPTION, EXAMPLE, "fold_*.onnx", "fold_*_example_output.npy"))
    model = load_model(chosen.members[0], folds)
    its = model.description
    example = example_patches(1, input_channels(its.configuration, its.labels), its.configuration.patch_size)
    differences = {}
    with progress(f"Exporting to {output.name}", quiet) as report, atomic_folder(output, overwrite) as folder:
        np.save(folder / EXAMPLE, example.numpy(), allow_pickle=False)
        for count, (fold, network) in enumerate(zip(model.folds, model.networks, strict=True)):
            report(count / len(model.folds), f"fold {fold}")
            plain = Finest(network)
            _write(plain, example, folder / f"fold_{fold}.onnx")
            expected = _run_torch(plain, example)
            np.save(folder / f"fold_{fold}_example_output.npy", expected, allow_pickle=False)
            differences[fold] = _compared(folder / f"fold_{fold}.onnx", example.numpy(), expected)
            _compared(folder / f"fold_{fold}.onnx", np.concatenate([example.numpy()] * 2), np.concatenate([expected] * 2))
        write_json(folder / DESCRIPTION, _description(its, model.folds, differences, chosen))
    worst = max(differences.values())
    show_unless_quiet(f"ONNX Runtime and PyTorch differ by {worst:.2g} at most in the logits of {EXAMPLE}")
    way = [] if chosen.ways is None else [
        f"{DESCRIPTION} describes the way to predict that find-best chose: {chosen.ways.reason}"]
    return [f"{DESCRIPTION} says what comes before and after the networks; their outputs are logits, to be averaged over the "
            "folds", *way]


def _require_extra() -> None:
    for name in NEEDS:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise AutosegError(f"To export as ONNX, the package {name} is needed, which is not installed. Run: "
                               "pip install 'autoseg[onnx]'") from error


def _write(network: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Write a network as ONNX, with any number of patches. Raises AutosegError where PyTorch cannot."""
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(said):
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            batch = torch.export.Dim("batch", min=1, max=2**16)
            torch.onnx.export(
                network, (torch.cat([example, example]),), str(path), input_names=["patch"], output_names=["logits"], dynamo=True,
                opset_version=OPSET, dynamic_shapes=({0: batch},), external_data=False, verbose=False)
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise AutosegError(f"PyTorch {torch.__version__} cannot write this network as ONNX: {reason[0][:300] if reason else ''}. "
                           "Export another model, or use another version of PyTorch.") from error
    finally:
        logging.disable(logging.NOTSET)


@torch.inference_mode()
def _run_torch(network: nn.Module, example: torch.Tensor) -> np.ndarray:
    logits: np.ndarray = network(example).numpy()
    return logits


def _compared(path: Path, example: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference of ONNX Runtime's logits. Raises AutosegError where it is more than rounding."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(["logits"], {"patch": example})
    except Exception as error:
        raise AutosegError(f"ONNX Runtime cannot run {path.name}: {str(error).splitlines()[0][:300]}.") from error
    difference = float(np.abs(found - expected).max())
    if found.shape != expected.shape or not difference <= LARGEST_DIFFERENCE * max(1.0, float(np.abs(expected).max())):
        raise AutosegError(f"{path.name}: ONNX Runtime {onnxruntime.__version__} and PyTorch {torch.__version__} differ by "
                           f"{difference:.2g} in the logits. Nothing was written; try other versions of them.")
    return difference


def _description(
    its: ModelDescription, folds: Sequence[str], differences: dict[str, float], chosen: Chosen
) -> dict[str, Any]:
    patch = list(its.configuration.patch_size)
    return {
        "format": "autoseg ONNX, 1",
        "model": {"dataset": its.dataset, "configuration": its.configuration_name, "recipe": its.called},
        "networks": {fold: f"fold_{fold}.onnx" for fold in folds},
        "input": {"name": "patch", "dtype": "float32", "shape": ["batch", input_channels(its.configuration, its.labels), *patch]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", its.labels.output_channels, *patch]},
        **described_steps(its, chosen.rules, chosen.says, taken_way(chosen.ways, Wish())),
        "example": {"input": EXAMPLE, "outputs": {fold: f"fold_{fold}_example_output.npy" for fold in folds},
                    "largest_difference_of_onnxruntime": differences},
        "versions": versions() | {name: importlib.import_module(name).__version__ for name in NEEDS},
    }
