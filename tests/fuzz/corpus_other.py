"""The corpus: datasets, JSON, artefacts and commands that did harm."""

from __future__ import annotations

import json
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from autoseg.dataset import load_dataset
from autoseg.fingerprint import Fingerprint
from autoseg.preprocessing.store import array_path
from autoseg.tasks.segmentation.store import LABELS as LABELS_PART
from autoseg.trainers.checkpoint import load_state
from autoseg.workspace import read_model
from tests.fuzz.artefacts import (
    description,
    fingerprint,
    plans,
    read_fingerprint,
    read_network,
    read_plans,
    read_splits,
    read_stored,
    user_dataset,
    write_model,
    write_state,
    write_stored,
)
from tests.fuzz.attempt import Case
from tests.fuzz.corpus_images import special
from tests.fuzz.json_mutators import DEEP

Make = Callable[[Path], Path]
Read = Callable[[Path], Any]
LONG = "a" * 260
DIGITS = "9" * 5000


def other_cases() -> list[Case]:
    """Return the cases."""
    return [*_names(), *_stores(), *_weights(), *_documents(), *_numbers()]


def _as_is(found: Any) -> str:
    return str(found)


def _names() -> list[Case]:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    pairs = {"seg": ("X", "X_seg"), "case": ("liver", "LIVER"), "unicode": (composed, apart), "json": ("X", "X.json")}
    return [Case(f"names_{kind}", 2, _dataset_of(*names), clash, _as_is) for kind, names in pairs.items()]


def _dataset_of(*names: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / "imagesTr").mkdir()
        (folder / "labelsTr").mkdir()
        for name in names:
            (folder / "imagesTr" / f"{name}_0000.nii.gz").touch()
            (folder / "labelsTr" / f"{name}.nii.gz").touch()
        (folder / "dataset.json").write_text(
            json.dumps(
                {
                    "channel_names": {"0": "MRI"},
                    "labels": {"background": 0, "organ": 1},
                    "numTraining": len(names),
                    "file_ending": ".nii.gz",
                }
            )
        )
        return folder

    return make


def clash(folder: Path) -> str:
    """Return which files of stored cases would be one file, also where a file system knows no capitals; "" for none."""
    seen: set[str] = set()
    for case in load_dataset(folder).training:
        for path in (
            *(array_path(Path("store"), case.name, part) for part in ("", LABELS_PART)),
            Path("store", f"{case.name}.json"),
        ):
            same = unicodedata.normalize("NFC", str(path)).casefold()
            if same in seen:
                return f"{path} is a file of two cases"
            seen.add(same)
    return ""


def _changed(write: Make, pattern: str, change: Callable[[Path], None]) -> Make:
    """Return what writes something good and then changes the first file that matches."""

    def make(folder: Path) -> Path:
        path = write(folder)
        change(sorted(folder.rglob(pattern))[0])
        return path

    return make


def _turn(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other_array(array: np.ndarray) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        import blosc2

        path.unlink()
        blosc2.asarray(array, urlpath=str(path), mode="w")

    return change


def _replaced_by(kind: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.unlink()
        special(kind, path.name)(path.parent)

    return change


def _stores() -> list[Case]:
    shape = (1, 20, 24, 16)
    changes = {
        "store_bit": _turn,
        "store_empty": _empty,
        "store_dtype": _other_array(np.zeros(shape, np.float64)),
        "store_texts": _other_array(np.full(shape, "a")),
        "store_shape": _other_array(np.zeros((1, 2, 3, 4), np.float32)),
        "store_complex": _other_array(np.zeros(shape, np.complex64)),
        "store_cut": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    }
    cases = [Case(name, 5, _changed(write_stored, "case_0*.b2nd", change), read_stored) for name, change in changes.items()]
    kinds = {"fifo": "fifo", "folder": "folder", "device": "/dev/zero"}
    return [
        *cases,
        *(
            Case(f"store_{name}", 6, _changed(write_stored, "case_0*.b2nd", _replaced_by(kind)), read_stored)
            for name, kind in kinds.items()
        ),
    ]


def _weights_as(change: Callable[[torch.Tensor], torch.Tensor]) -> Make:
    def rewrite(path: Path) -> None:
        save_file({name: change(values).contiguous() for name, values in load_file(path).items()}, path)

    return _changed(write_model, "*.safetensors", rewrite)


def _poisoned(values: torch.Tensor) -> torch.Tensor:
    return torch.full_like(values, float("nan"))


def _state_of(content: Any) -> Make:
    def make(folder: Path) -> Path:
        torch.save(content, folder / "training_state.pt")
        return folder / "training_state.pt"

    return make


def state_bomb(folder: Path) -> Path:
    """Write a state whose tensor of a gigabyte is packed to a megabyte, which torch itself never does."""
    plain, path = folder / "plain.pt", folder / "training_state.pt"
    torch.save({"epoch": torch.zeros(4)}, plain)
    with zipfile.ZipFile(plain) as small, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name in small.namelist():
            data = small.read(name)
            if name.endswith("data.pkl"):
                data = data.replace(b"K\x04\x8a\x00" if b"K\x04\x8a\x00" in data else b"K\x04", b"J" + struct.pack("<i", 2**28))
            with packed.open(name, "w", force_zip64=True) as entry:
                for _ in range(1024 if "/data/" in name else 1):
                    entry.write(bytes(2**20) if "/data/" in name else data)
    plain.unlink()
    return path


def _load(path: Path) -> Any:
    return load_state(path, torch.device("cpu"))


def _weights() -> list[Case]:
    changes: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "nan": _poisoned,
        "infinite": lambda values: torch.full_like(values, float("inf")),
        "integers": lambda values: values.to(torch.int32),
        "booleans": lambda values: values > 0,
        "complex": lambda values: values.to(torch.complex64),
    }
    cases = [
        Case(f"weights_{name}", 5 if name in ("nan", "infinite") else 11, _weights_as(change), read_network)
        for name, change in changes.items()
    ]
    files = {
        "weights_empty": _empty,
        "weights_bit": _turn,
        "weights_fifo": _replaced_by("fifo"),
        "weights_folder": _replaced_by("folder"),
        "weights_device": _replaced_by("/dev/zero"),
        "weights_header": lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{}"),
    }
    cases += [Case(name, 6, _changed(write_model, "*.safetensors", change), read_network) for name, change in files.items()]
    states = {
        "state_empty": _changed(write_state, "*.pt", _empty),
        "state_fifo": _changed(write_state, "*.pt", _replaced_by("fifo")),
        "state_folder": _changed(write_state, "*.pt", _replaced_by("folder")),
        "state_list": _state_of([1, 2, 3]),
        "state_number": _state_of(7),
        "state_tensor": _state_of(torch.ones(3)),
        "state_other_keys": _state_of({1: 2}),
        "state_bomb": state_bomb,
    }
    return [*cases, *(Case(name, 7 if name == "state_bomb" else 11, make, _load) for name, make in states.items())]


def _written(file: str, content: str | bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return make


HARMFUL = {
    "deep_lists": "[" * DEEP + "]" * DEEP,
    "deep_objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "unclosed": "[" * DEEP,
    "digits": f'{{"a": {DIGITS}}}',
    "digits_alone": DIGITS,
    "surrogate": '{"\\ud800": "\\udfff"}',
    "not_utf8": b'{"name": "caf\xe9"}',
    "utf_16": '{"a": 1}'.encode("utf-16"),
    "zeros": bytes(1000),
    "empty": "",
    "text": "hello",
    "number": "7",
    "null": "null",
}
JSON_READERS: dict[str, Read] = {
    "plans": read_plans,
    "fingerprint": lambda path: read_model(path, Fingerprint),
    "splits": read_splits,
    "dataset": lambda path: load_dataset(path.parent),
}


def _documents() -> list[Case]:
    """Return what is harmful as any JSON file, read as some of them."""
    cases = [
        Case(f"{kind}_{name}", 9, _written(f"{kind}.json", content), read)
        for kind, read in JSON_READERS.items()
        for name, content in HARMFUL.items()
    ]
    for kind in ("fifo", "folder", "/dev/zero", "loop"):
        name = kind.rpartition("/")[2]
        cases += [Case(f"plans_{name}", 6, special(kind, "plans.json"), read_plans)]
    model = json.loads(description().model_dump_json())
    for name, content in HARMFUL.items():
        cases.append(Case(f"model_{name}", 9, _model_of(content), read_network))
    cases.append(
        Case(
            "model_million_convolutions",
            7,
            _model_of(
                json.dumps(_with(model, ("plans", "configurations", "tiny", "network", "convs_per_stage"), [1_000_000, 1]))
            ),
            read_network,
        )
    )
    cases.append(
        Case(
            "model_huge_features",
            7,
            _model_of(json.dumps(_with(model, ("plans", "configurations", "tiny", "network", "features"), [10**9, 10**9]))),
            read_network,
        )
    )
    return cases


def _model_of(content: str | bytes) -> Make:
    return _changed(
        write_model, "model.json", lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())
    )


def _with(content: Any, where: tuple[Any, ...], value: Any) -> Any:
    copied = json.loads(json.dumps(content))
    place = copied
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    return copied


TINY = ("configurations", "tiny")
NUMBERS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "patch_negative": ((*TINY, "patch_size"), [-4, 8, 8]),
    "patch_zero": ((*TINY, "patch_size"), [0, 8, 8]),
    "patch_huge": ((*TINY, "patch_size"), [10**9, 8, 8]),
    "patch_short": ((*TINY, "patch_size"), [8]),
    "spacing_negative": ((*TINY, "spacing_mm"), [-1.0, 1.0, 1.0]),
    "spacing_zero": ((*TINY, "spacing_mm"), [0.0, 1.0, 1.0]),
    "spacing_huge": ((*TINY, "spacing_mm"), [1e308, 1.0, 1.0]),
    "spacing_tiny": ((*TINY, "spacing_mm"), [5e-324, 1.0, 1.0]),
    "spacing_nan": ((*TINY, "spacing_mm"), [float("nan"), 1.0, 1.0]),
    "spacing_none": ((*TINY, "spacing_mm"), []),
    "batch_huge": ((*TINY, "batch_size"), 10**30),
    "batch_zero": ((*TINY, "batch_size"), 0),
    "strides_zero": ((*TINY, "network", "strides"), [[1, 1, 1], [0, 2, 2]]),
    "strides_short": ((*TINY, "network", "strides"), [[1, 1, 1], [2]]),
    "strides_negative": ((*TINY, "network", "strides"), [[1, 1, 1], [-2, 2, 2]]),
    "strides_none": ((*TINY, "network", "strides"), []),
    "kernels_even": ((*TINY, "network", "kernel_sizes"), [[3, 3, 3], [2, 2, 2]]),
    "kernels_zero": ((*TINY, "network", "kernel_sizes"), [[3, 3, 3], [0, 3, 3]]),
    "kernels_huge": ((*TINY, "network", "kernel_sizes"), [[3, 3, 3], [10**6 + 1, 3, 3]]),
    "features_negative": ((*TINY, "network", "features"), [-4, 8]),
    "convolutions_many": ((*TINY, "network", "convs_per_stage"), [10**6, 1]),
    "convolutions_zero": ((*TINY, "network", "convs_per_stage"), [0, 1]),
    "transpose_twice": (("transpose",), [0, 0, 1]),
    "transpose_far": (("transpose",), [0, 1, 7]),
    "network_unknown": ((*TINY, "network", "name"), "²"),
    "orientation": (("orientation",), "XYZ"),
    "memory_huge": (("memory_gb",), 1e308),
}


def _numbers() -> list[Case]:
    good = json.loads(plans().model_dump_json())
    cases = [
        Case(f"plans_{name}", 10, _written("plans.json", json.dumps(_with(good, where, value))), read_plans)
        for name, (where, value) in NUMBERS.items()
    ]
    measured = fingerprint()
    for name, where, value in (
        ("spacing", ("cases", "case_0", "spacing_mm"), [-1.0, 1.0, 1.0]),
        ("shape", ("cases", "case_0", "shape"), [0, 24, 16]),
        ("label_square", ("labels",), {"²": measured["labels"]["1"]}),
        ("label_empty", ("labels",), {"": measured["labels"]["1"]}),
    ):
        cases.append(
            Case(
                f"fingerprint_{name}",
                10,
                _written("fingerprint.json", json.dumps(_with(measured, where, value))),
                read_fingerprint,
            )
        )
    for name, where, value in (
        ("labels_square", ("labels",), {"background": 0, "organ": "²"}),
        ("labels_far", ("labels",), {"background": 0, "organ": 10**30}),
        ("channels_square", ("channel_names",), {"²": "MRI"}),
        ("labels_negative", ("labels",), {"background": 0, "organ": -3}),
    ):
        cases.append(Case(f"dataset_{name}", 12, _user_dataset(where, value), load_dataset))
    return cases


def _user_dataset(where: tuple[Any, ...], value: Any) -> Make:
    def make(folder: Path) -> Path:
        (folder / "dataset.json").write_text(json.dumps(_with(user_dataset(folder), where, value)))
        return folder

    return make
