"""Threads of a network on the CPU: how they wait, and where they run, so that other work can share the cores."""

from __future__ import annotations

import contextlib
import ctypes
import os

SPINS = "40000"  # two milliseconds at most; OpenMP has 300000


def let_threads_sleep() -> None:
    """Let threads of GNU's OpenMP that wait for others give up their core sooner. To be called before torch is imported.

    They wait some hundred times a step, and spin meanwhile. On cores that are shared, the thread that they wait for may have
    none, because they keep it. Processes that this one starts inherit it; what the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def spread_threads() -> bool:
    """Give each OpenMP thread that helps this one a core of its own. To be called now and then: OpenMP may replace its threads.

    Beside other work, two of them can lie on one core. In the gradient of a convolution's weights, oneDNN's threads wait for each
    other in a loop that never gives up the core, so that a step took seven times as long. This thread, and those that it starts,
    stay free. Returns whether it was done: on Linux with GNU's OpenMP, where there are as many threads as cores.
    """
    import torch

    try:
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) == 1 or torch.get_num_threads() != len(cores):
            return False
        openmp = _openmp()
    except (AttributeError, OSError):  # not Linux, or another OpenMP
        return False

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def take_core(_: object) -> None:
        if number := openmp.omp_get_thread_num():
            with contextlib.suppress(OSError):  # the core was taken away just now
                os.sched_setaffinity(0, {cores[number]})

    openmp.GOMP_parallel(take_core, None, len(cores), 0)
    return True


def _openmp() -> ctypes.CDLL:
    """Return GNU's OpenMP as torch has loaded it. Raises OSError where torch runs with another one."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        loaded = {line.split(maxsplit=5)[-1].strip() for line in file if "libgomp" in line}
    if not loaded:
        raise OSError("GNU's OpenMP is not loaded")
    return ctypes.CDLL(min(loaded, key=lambda path: "torch" not in path))  # other packages may bring one of their own
