"""Locks: one process at a time, ended with the process, and named."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from autoseg.errors import AutosegError
from autoseg.lock import locked

HOLD = ("import sys, time; from pathlib import Path; from autoseg.lock import locked\n"
        "with locked(Path(sys.argv[1]), 'it'):\n    print('held', flush=True)\n    time.sleep(300)")


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_a_second_process_is_refused_and_one_after_kill_9_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model" / "fold_0.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(AutosegError) as caught, locked(path, "Fold 0"):
            pass
        assert f"Fold 0 is in use by process {holder.pid} on {socket.gethostname()} since" in str(caught.value)
        assert "remove" not in str(caught.value)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    assert json.loads(path.read_text())["process"] == holder.pid  # it left its file
    with locked(path, "Fold 0"), pytest.raises(AutosegError, match=f"process {os.getpid()}"), locked(path, "Fold 0"):
        pass
    assert not path.exists()


def test_a_lock_of_another_host_is_kept_and_the_message_says_how_to_remove_it(tmp_path: Path) -> None:
    path = tmp_path / "fold_0.lock"
    path.write_text(json.dumps({"host": "elsewhere", "process": 7, "started": 1.0, "locked": "2026-01-02T03:04:05+00:00"}))
    with pytest.raises(AutosegError, match=rf"process 7 on elsewhere since .* gone, remove {path}"), locked(path, "Fold 0"):
        pass
    assert json.loads(path.read_text())["host"] == "elsewhere"
    path.unlink()
    with locked(path, "Fold 0"):
        pass


def test_a_damaged_lock_without_a_holder_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "fold_0.lock"
    path.write_text("{")
    with locked(path, "Fold 0"):
        assert json.loads(path.read_text())["process"] == os.getpid()


def test_work_that_is_refused_leaves_no_folder_and_work_that_is_done_leaves_its_own(tmp_path: Path) -> None:
    with pytest.raises(AutosegError), locked(tmp_path / "workspace" / "A" / "planning.lock", "it"):
        raise AutosegError("no")
    assert not (tmp_path / "workspace").exists()
    with locked(tmp_path / "workspace" / "A" / "planning.lock", "it"):
        (tmp_path / "workspace" / "plans.json").touch()
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["plans.json"]
