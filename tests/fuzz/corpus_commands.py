"""The corpus: command lines that did harm."""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from autoseg import image_io
from autoseg.cli.main import main as run_command
from autoseg.image import Geometry, Image
from tests.fuzz.artefacts import (
    CASES,
    user_dataset,
)
from tests.fuzz.attempt import Case

Make = Callable[[Path], Path]
Read = Callable[[Path], Any]
LONG = "a" * 260
DIGITS = "9" * 5000


def _tiny(folder: Path) -> Path:
    """Write a dataset of four tiny cases, and a folder of a training, with a workspace beside it."""
    place = folder / TINY
    content = user_dataset_at(place)
    (place / "dataset.json").write_text(json.dumps(content))
    return folder


def user_dataset_at(place: Path) -> dict[str, Any]:
    """Write images and labels that can be read, and return the dataset.json about them."""
    place.mkdir()
    content = user_dataset(place)
    for number, name in enumerate(CASES):
        array = np.random.default_rng(number).integers(1, 1000, (1, 8, 16, 16)).astype(np.int16)
        image, labels = Image(array, Geometry((3.0, 1.0, 1.0))), np.zeros((8, 16, 16), np.uint8)
        labels[2:4, 5:9, 5:9], labels[6, 12, 12] = 1, 2
        image_io.write_image(place / "imagesTr" / f"{name}_0000.nii.gz", image.array, image)
        image_io.write_label(place / "labelsTr" / f"{name}.nii.gz", labels, image)
    return content


def command(*arguments: str) -> Read:
    """Return what runs a command in a folder of `_tiny`. {folder}: that folder. It must end with 1 or 2 and one error without a
    traceback: then "" is returned, else what is wrong."""

    def run(folder: Path) -> str:
        said = io.StringIO()
        words = [word.format(folder=folder) for word in arguments]
        before = os.getcwd()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code: Any = run_command(words)
        except SystemExit as end:
            code = end.code
        finally:
            os.chdir(before)
        text = said.getvalue()
        return "" if code in (1, 2) and "Traceback" not in text and text.strip() else f"exit {code}: {text[-1500:]}"

    return run


def _looped(folder: Path) -> Path:
    _tiny(folder)
    (folder / "loop").symlink_to(folder / "loop")
    return folder


def _with_file(folder: Path) -> Path:
    _tiny(folder)
    (folder / "file").write_text("hello")
    return folder


def _planned(folder: Path) -> Path:
    """Write a tiny dataset and the workspace of its planning."""
    shutil.copytree(_planned_once(), folder, dirs_exist_ok=True)
    return folder


@lru_cache
def _planned_once() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="autoseg-fuzz-planned-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _tiny(folder)
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run_command([word.format(folder=folder) for word in (*PLAN, "-c", "2d", "-np", "1")])
    if code:
        raise ValueError(f"the tiny dataset cannot be planned: {said.getvalue()}")
    return folder


TINY = "Dataset001_Tiny"
DATASET, LABELS = f"{{folder}}/{TINY}", f"{{folder}}/{TINY}/labelsTr"
HERE = ("--workspace", "{folder}/workspace")
PLAN = ("plan_and_preprocess", DATASET, *HERE)
TRAIN = ("train", TINY, *HERE, "-c", "2d", "--iterations", "1")
PREDICT = ("predict", "-d", "1", *HERE)
EVALUATE = ("evaluate", LABELS, LABELS)
COMMANDS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "long_dataset": (_tiny, ("plan_and_preprocess", LONG, *HERE)),
    "long_workspace": (_tiny, ("plan_and_preprocess", DATASET, "--workspace", "{folder}/" + LONG)),
    "long_planner": (_tiny, (*PLAN, "--planner", LONG)),
    "long_configuration": (_tiny, (*PLAN, "-c", LONG)),
    "long_model": (_tiny, ("predict", "-i", DATASET, "-o", "{folder}/out", "-m", LONG)),
    "long_input": (_planned, (*PREDICT, "-i", "{folder}/" + LONG, "-o", "{folder}/out")),
    "long_prediction": (_planned, (*PREDICT, "-i", DATASET, "-o", "{folder}/" + LONG)),
    "long_output": (_tiny, (*EVALUATE, "-o", "{folder}/" + LONG)),
    "long_name": (_planned, (*TRAIN, "0", "--name", LONG)),
    "long_recipe": (_planned, (*TRAIN, "0", "-tr", LONG)),
    "long_fold": (_planned, (*TRAIN, LONG)),
    "loop_workspace": (_looped, ("plan_and_preprocess", DATASET, "--workspace", "{folder}/loop")),
    "loop_dataset": (_looped, ("plan_and_preprocess", "{folder}/loop", *HERE)),
    "fold_square": (_planned, (*TRAIN, "²")),
    "fold_digits": (_planned, (*TRAIN, DIGITS)),
    "dataset_square": (_planned, ("train", "²", "0", *HERE)),
    "memory_huge": (_tiny, (*PLAN, "--memory-gb", "1e308")),
    "memory_nan": (_tiny, (*PLAN, "--memory-gb", "nan")),
    "memory_negative": (_tiny, (*PLAN, "--memory-gb", "-1")),
    "workers_square": (_tiny, (*PLAN, "-np", "²")),
    "workers_digits": (_tiny, (*PLAN, "-np", DIGITS)),
    "output_empty": (_planned, (*PREDICT, "-i", DATASET + "/imagesTr", "-o", "")),
    "table_empty": (_tiny, (*EVALUATE, "-o", "")),
    "device_meta": (_planned, (*TRAIN, "0", "--device", "meta")),
    "device_square": (_planned, (*TRAIN, "0", "--device", "cuda:²")),
    "device_digits": (_planned, (*TRAIN, "0", "--device", f"cpu:{DIGITS}")),
    "batch_huge": (_planned, (*TRAIN, "0", "--set", "batch_size=1e30")),
    "batch_many": (_planned, (*TRAIN, "0", "--set", "batch_size=100000000000")),
    "seed_digits": (_planned, (*TRAIN, "0", "--set", f"seed={DIGITS}")),
    "rate_nan": (_planned, (*TRAIN, "0", "--set", "initial_rate=nan")),
    "hours_huge": (_planned, ("train", TINY, *HERE, "-c", "2d", "0", "--max-hours", "1e308")),
    "hours_nan": (_planned, ("train", TINY, *HERE, "-c", "2d", "0", "--max-hours", "nan")),
    "epochs_digits": (_planned, ("train", TINY, *HERE, "-c", "2d", "0", "--epochs", DIGITS)),
    "workspace_file": (_with_file, ("plan_and_preprocess", DATASET, "--workspace", "{folder}/file")),
    "dataset_file": (_with_file, ("plan_and_preprocess", "{folder}/file", *HERE)),
    "output_file": (_with_file, (*EVALUATE, "-o", "{folder}/file/a.json")),
    "output_folder": (_with_file, (*EVALUATE, "-o", "{folder}")),
    "dataset_surrogate": (_tiny, ("plan_and_preprocess", "{folder}/\udce9", *HERE)),
}


def command_cases() -> list[Case]:
    """Return the cases."""
    return [Case(f"command_{name}", 12, make, command(*arguments), str) for name, (make, arguments) in COMMANDS.items()]
