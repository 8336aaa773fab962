"""Engines other than torch that run a network on tiles: OpenVINO, which converts it once and whose answers are compared.

    weights file ─ torch network ─ converted (kept in the user's cache) ─ compiled for this CPU ─ compared once ─ tiles
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from autoseg.bounds import Engine, Precision
from autoseg.device import autocast, cpu_flags, machine_in_words, memory_format, resolve_precision
from autoseg.errors import AutosegError
from autoseg.inference.checkpoints import sealed_digest
from autoseg.inference.converted import Agreement, ConvertedFiles
from autoseg.inference.finest import Finest, example_patches
from autoseg.networks.convolutions import short_axes_seen
from autoseg.parallel import number_of_cores
from autoseg.plan import Topology

CPU = torch.device("cpu")
HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}
VOXELS_AT_ONCE = 2**16  # of the slices that a 2D network sees together
CONVERSION = 1  # counts changes of how networks are converted here
# Bounds of how far OpenVINO's logits may be from torch's in float32, on noise, as shares of their standard deviation. In float32
# untrained networks of 4 to 8 stages were 1e-4 (root mean square) and 8e-4 (at most) apart or less. In bfloat16 the measure is
# how far torch itself is (0.01 to 0.07, and 0.08 to 0.6 at most); OpenVINO was 0.99 to 1.0 times and 0.8 to 1.2 times as far.
MOST_IN_FLOAT32 = (1e-3, 1e-2)
TIMES_TORCH = 2.0


class Runs(NamedTuple):
    """The facts that are needed to run a network: its topology, channels in and out, and the patch that it sees."""

    topology: Topology
    channels: int
    classes: int
    patch_size: tuple[int, ...]

    @property
    def at_once(self) -> int:
        """Return the number of patches that it sees together: some slices in 2D, one in 3D."""
        return max(1, VOXELS_AT_ONCE // prod(self.patch_size)) if len(self.patch_size) == 2 else 1

    @property
    def smallest(self) -> list[int]:
        """Return a patch as small as the network takes: two voxels along each axis where it is coarsest."""
        coarsest = [2 * prod(strides) for strides in zip(*self.topology.strides, strict=True)]
        return [min(size, small) for size, small in zip(self.patch_size, coarsest, strict=True)]


def require_engine(engine: Engine, device: torch.device, precision: Precision) -> None:
    """Raise AutosegError where an engine is not installed, or does not run on a device or in a precision."""
    if engine == "torch":
        return
    if find_spec("openvino") is None:
        raise AutosegError("--engine openvino needs the package openvino, which is not installed here. Install it with: "
                           "pip install 'autoseg[openvino]'")
    if device.type != "cpu":
        raise AutosegError(f"--engine openvino runs on the CPU, but the device is {device}. Add --device cpu, or leave out "
                           "--engine openvino.")
    if resolve_precision(precision, device) not in HINTS:
        raise AutosegError(f"--engine openvino computes in float32 or bfloat16, but --precision is {precision}.")


def engine_in_words(engine: Engine) -> str:
    """Return " by OpenVINO 2026.4.1", or "" for torch."""
    return f" by OpenVINO {metadata.version('openvino')}" if engine == "openvino" else ""


def open_in_openvino(file: Path, make: Callable[[], nn.Module], its: Runs, precision: Precision) -> nn.Module:
    """Return a network that OpenVINO runs: (B, C, *patch) float32 -> [logits (B, K, *patch) float32], as torch's in eval mode.

    file: of its weights. make: gives the network in torch, on the CPU; it is called where OpenVINO has not run these weights on
    this machine, in this precision, before. precision: see `resolve_precision`.
    Raises AutosegError where the network cannot be converted, or its answers differ from torch's by more than rounding.
    """
    dtype = resolve_precision(precision, CPU)
    library = _openvino()
    kept = ConvertedFiles("openvino", (CONVERSION, library.__version__, torch.__version__, sealed_digest(file),
                                       its.topology.model_dump_json(), its.channels, its.classes))
    on = (machine_in_words(CPU), sorted(cpu_flags()), dtype, its.patch_size, its.at_once, torch.get_num_threads())
    model, agreement = _read(library, kept), kept.agreement(on)
    expected = None
    if model is None or agreement is None:
        network = make()
        expected = _expected(network, its, dtype)
        model = model or _converted(library, kept, network, its)
        del network
    runner = _Runner(library, model, its, dtype)
    if expected is not None:
        kept.keep_agreement(on, _compared(runner, expected, its, dtype, file))
    return runner


def _openvino() -> Any:
    """Return the library. What reports its use to its makers is left out, and its warnings are not shown."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # importing it fails, and openvino goes on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import openvino

        return openvino


class _Runner(nn.Module):
    """A network compiled for the patches that it will see. Several threads may call it; one at a time is served."""

    def __init__(self, library: Any, model: Any, its: Runs, dtype: torch.dtype) -> None:
        super().__init__()
        self.its, self.library, self.lock = its, library, threading.Lock()
        threads = torch.get_num_threads()
        model.reshape([its.at_once, its.channels, *its.patch_size])
        self.request = library.Core().compile_model(model, "CPU", {
            "INFERENCE_PRECISION_HINT": HINTS[dtype], "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": threads == number_of_cores()}).create_infer_request()  # else processes would share one core

    def forward(self, patches: torch.Tensor) -> list[torch.Tensor]:
        logits = torch.empty((len(patches), self.its.classes, *self.its.patch_size))
        at_once = self.its.at_once
        for into, part in zip(logits.split(at_once), patches.contiguous().split(at_once), strict=True):
            if len(part) == at_once:
                self._run(part, into)
                continue
            padded = part.new_zeros((at_once, *part.shape[1:]))
            padded[: len(part)] = part
            whole = torch.empty((at_once, *into.shape[1:]))
            self._run(padded, whole)
            into.copy_(whole[: len(part)])
        return [logits]

    def _run(self, patches: torch.Tensor, into: torch.Tensor) -> None:
        """Write the logits of `at_once` patches; both arrays contiguous."""
        with self.lock:
            self.request.set_output_tensor(self.library.Tensor(into.numpy(), shared_memory=True))
            self.request.infer([self.library.Tensor(patches.numpy(), shared_memory=True)])


def _read(library: Any, kept: ConvertedFiles) -> Any:
    """Return the network as it was converted before; None where it was not, or the files are damaged."""
    files = kept.read()
    if files is None:
        return None
    try:
        weights = library.Tensor(files.pop("network.bin"))  # a copy, which lives as long as the model does
        return library.Core().read_model(files["network.xml"].tobytes(), weights)
    except RuntimeError:  # whole, but of no use
        return None


def _converted(library: Any, kept: ConvertedFiles, network: nn.Module, its: Runs) -> Any:
    """Convert a network, and keep it. Raises AutosegError where OpenVINO cannot."""
    example = example_patches(1, its.channels, its.smallest)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
            traced = torch.jit.trace(Finest(network), example, check_trace=False)
            model = library.convert_model(traced, example_input=example)
    except Exception as error:
        said = str(error).strip().splitlines()
        raise AutosegError(f"OpenVINO {library.__version__} cannot take over this network: {said[0][:300] if said else ''}. "
                           "Leave out --engine openvino.") from error
    finally:
        logging.disable(logging.NOTSET)

    def write(folder: Path) -> None:
        library.save_model(model, str(folder / "network.xml"), compress_to_fp16=False)

    return _read(library, kept) if kept.keep(write) else model  # what was read holds torch's weights no longer


@dataclass(frozen=True)
class _Expected:
    """The logits of torch on example patches: in float32, and how far those in the precision at hand are from them."""

    logits: torch.Tensor
    bounds: tuple[float, float]


@torch.inference_mode()
def _expected(network: nn.Module, its: Runs, dtype: torch.dtype) -> _Expected:
    """Raises AutosegError where a layer meets axes so short that oneDNN, which OpenVINO runs on, is wrong in bfloat16."""
    patches = example_patches(its.at_once, its.channels, its.patch_size).to(
        memory_format=memory_format(CPU, len(its.patch_size)))
    with short_axes_seen(network) as short:
        logits = network(patches)[0]
    if dtype == torch.float32:
        return _Expected(logits, MOST_IN_FLOAT32)
    if short:
        raise AutosegError(f"OpenVINO is wrong in bfloat16 along axes as short as those of this network's {short[0]}. Add "
                           "--precision float32, or leave out --engine openvino.")
    with autocast(CPU, dtype):
        rounded = network(patches)[0]
    root, largest = _difference(rounded, logits)
    return _Expected(logits, (TIMES_TORCH * root, TIMES_TORCH * largest))


def _compared(runner: nn.Module, expected: _Expected, its: Runs, dtype: torch.dtype, file: Path) -> Agreement:
    """Raise AutosegError where OpenVINO's logits are not as near to torch's in float32 as they must be."""
    found = runner(example_patches(its.at_once, its.channels, its.patch_size))[0]
    (root, largest), (most_root, most) = _difference(found, expected.logits), expected.bounds
    if not (root <= most_root and largest <= most):
        raise AutosegError(
            f"{file}: OpenVINO in {str(dtype).removeprefix('torch.')} differs from torch in float32 by {root:.2g} (root mean "
            f"square; {most_root:.2g} is accepted) and {largest:.2g} (at most; {most:.2g}), as shares of the logits' standard "
            "deviation. Leave out --engine openvino, or use another version of it.")
    return Agreement(root_mean_square=root, largest=largest, accepted=expected.bounds)


def _difference(found: torch.Tensor, logits: torch.Tensor) -> tuple[float, float]:
    """Return the difference's root mean square and the largest one, as shares of the standard deviation of `logits`."""
    difference, scale = (found.float() - logits).abs_(), max(float(logits.std()), 1e-12)
    return float(difference.square().mean().sqrt()) / scale, float(difference.max()) / scale
