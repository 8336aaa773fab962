"""How threads wait and where they run: each in a process of its own, as OpenMP reads its environment once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from autoseg.threads import SPINS

CORES = os.cpu_count() if not hasattr(os, "sched_getaffinity") else len(os.sched_getaffinity(0))


def answer_of(code: str, **environment: str) -> object:
    """What a new process prints as JSON, in an environment without wishes for threads but these."""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))}
    done = subprocess.run([sys.executable, "-c", code], env=without | environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


SPINS_OF_A_CHILD = """
import json, subprocess, sys
import autoseg
assert "torch" not in sys.modules
autoseg.recipes
child = "import json, os; print(json.dumps([os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY')]))"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout)
"""


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, [SPINS, None]), ({"GOMP_SPINCOUNT": "7"}, ["7", None]), ({"OMP_WAIT_POLICY": "active"}, [None, "active"])])
def test_threads_wait_shortly_unless_the_user_wants_otherwise(environment: dict[str, str], expected: list[str | None]) -> None:
    assert answer_of(SPINS_OF_A_CHILD, **environment) == expected


CORES_OF_THREADS = """
import json, os, threading
import torch
from autoseg.threads import spread_threads
torch.set_num_threads(THREADS or torch.get_num_threads())
torch.ones(10**6).add(1)
every = os.sched_getaffinity(0)
done = [spread_threads(), spread_threads()]
cores = [sorted(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")]
thread = threading.Thread(target=lambda: done.append(os.sched_getaffinity(0) == every))
thread.start(), thread.join()
print(json.dumps([*done, os.sched_getaffinity(0) == every, sorted(its for its in cores if len(its) == 1)]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux") or CORES == 1, reason="there are no cores to choose from")
def test_each_helping_thread_has_a_core_of_its_own_and_others_stay_free() -> None:
    own = [[core] for core in sorted(os.sched_getaffinity(0))[1:]]
    every = str(CORES)
    assert answer_of(CORES_OF_THREADS.replace("THREADS", "0", 1), OMP_NUM_THREADS=every) == [True, True, True, True, own]
    assert answer_of(CORES_OF_THREADS.replace("THREADS", "1", 1), OMP_NUM_THREADS=every) == [False, False, True, True, []]
