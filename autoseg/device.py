"""Devices that networks run on, the precision that they compute in, and the memory that is kept meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import sys
from contextlib import AbstractContextManager

import torch
from torch import nn

from autoseg.bounds import Precision
from autoseg.errors import AutosegError, many
from autoseg.parallel import number_of_cores

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def resolve_device(name: str) -> torch.device:
    """Return the device for "auto" (cuda, else mps, else cpu), "cpu", "cuda", "cuda:1" or "mps". Raises AutosegError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps") or (device.type != "cuda" and device.index not in (None, 0)):
        raise AutosegError(f'There is no device "{name}". Use auto, cpu, cuda, cuda:1, ... or mps.')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AutosegError(f"{name} was asked for, but {torch.cuda.device_count()} CUDA devices are here. Use --device cpu.")
    if device.type == "cuda":
        _require_usable(name, device)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise AutosegError("mps was asked for, but this machine has none. Use --device cpu.")
    return device


def devices_of(name: str, processes: int) -> list[str]:
    """Return the devices that so many processes run on, one each: "cuda:0", "cuda:1", ...; or as often "cpu".

    name: as of `resolve_device`. Raises AutosegError that says what there is, where there are fewer.
    """
    if processes < 1:
        raise AutosegError(f"--gpus is {processes}, but must be 1 or more.")
    there = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    named = ", ".join(f"{device} {torch.cuda.get_device_name(device)}" for device in there) or "none"
    if name in ("auto", "cuda"):
        if processes > len(there):
            raise AutosegError(f"--gpus {processes} was asked for, but {many(len(there), 'CUDA device')} can be used here "
                               f"({named}). Ask for no more than these; --device cpu runs so many processes on the CPU.")
        return there[:processes]
    if processes == 1:
        return [name]
    if name != "cpu":
        raise AutosegError(f"--gpus {processes} takes the first CUDA devices there are, or with --device cpu the CPU, but "
                           f"--device {name} names one. Leave one of the two out.")
    if processes > number_of_cores():
        raise AutosegError(f"--gpus {processes} was asked for on the CPU, but {many(number_of_cores(), 'core')} can be used. "
                           "Ask for no more processes than these.")
    return [name] * processes


def _require_usable(name: str, device: torch.device) -> None:
    """Raise AutosegError where a device exists but runs nothing: taken by others, too old for this torch, or without memory."""
    try:
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise AutosegError(f"{name} is there, but cannot be used: {reason}. Use another device, or --device cpu.") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an allocation failed on any device; except on CUDA, only the text of torch's error says so."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return "DefaultCPUAllocator" in str(error) or "out of memory" in str(error)


def release_cached_memory(device: torch.device) -> None:
    """Give the memory of tensors that are gone back to a CUDA device, where others, and what measures it, see it as free."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def cpu_has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 itself (AVX512-BF16, AMX); elsewhere emulation costs more than it saves."""
    capability = torch.backends.cpu.get_cpu_capability()
    mkldnn_bf16 = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if mkldnn_bf16 is None or "AVX512" not in capability:
        return False
    flags = cpu_flags()
    return bool(mkldnn_bf16()) and ("avx512_bf16" in flags or "amx_bf16" in flags)


def cpu_flags() -> set[str]:
    """Return the processor's feature flags on Linux; empty elsewhere."""
    return set(_cpu_line("flags").split())


def _cpu_line(name: str) -> str:
    """Return what Linux says of the first processor under a name; "" elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            line = next((line for line in file if line.startswith(name)), "")
    except OSError:
        return ""
    return line.partition(":")[2].strip()


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products: for "auto", float16 on CUDA, bfloat16 on a CPU that has it, else float32."""
    if precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32


def device_in_words(device: torch.device, precision: Precision = "auto") -> str:
    """Return a device and the dtype of matrix products on it, such as "cpu in float32"."""
    return f"{device} in {str(resolve_precision(precision, device)).removeprefix('torch.')}"


def machine_in_words(device: torch.device) -> str:
    """Return what trains on a device, such as "NVIDIA H200 (CUDA 12.6), Linux" or "AMD EPYC 9654, 2 cores, Linux"."""
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    else:
        cores = many(number_of_cores(), "core")
        name = f"{_cpu_model() or platform.machine()}, {cores}" + (", by its GPU (mps)" if device.type == "mps" else "")
    return f"{name}, {platform.system()}"


def _cpu_model() -> str:
    """Return the processor's name on Linux; "" elsewhere."""
    return " ".join(_cpu_line("model name").split())


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Return a context in which convolutions and matrix products run in `dtype`; it does nothing for float32."""
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=dtype)


def to_device(network: nn.Module, device: torch.device, dimensions: int) -> nn.Module:
    """Move a network to `device`, with its weights laid out as `memory_format` says and in memory of their own.

    Weights that are mapped from a safetensors file would otherwise keep the whole file in memory beside the copies.
    """
    network.to(device)
    layout = memory_format(device, dimensions)
    for values in (*network.parameters(), *network.buffers()):
        is_kernel = values.dim() == dimensions + 2
        values.data = values.data.clone(memory_format=layout if is_kernel else torch.preserve_format)
    return network


def memory_format(device: torch.device, dimensions: int) -> torch.memory_format:
    """Return the memory layout of networks and their inputs: channels last on the CPU, where it is faster in bfloat16."""
    if device.type != "cpu":
        return torch.contiguous_format
    return torch.channels_last if dimensions == 2 else torch.channels_last_3d


def keep_large_blocks() -> bool:
    """Let glibc's malloc keep what is freed, so that each step's tensors do not fault in their pages anew.

    Networks on the CPU allocate and free the same hundreds of megabytes in every step. With glibc's defaults each goes
    back to the kernel, and a third of a training step is spent on page faults. Returns whether it was set (only
    where the C library is glibc). For processes that run networks on the CPU; freed memory stays with the process.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(M_MMAP_MAX, 0)) and bool(libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
    except (OSError, AttributeError):
        return False
