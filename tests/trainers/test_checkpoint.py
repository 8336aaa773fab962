"""Weights and states on disk."""

from __future__ import annotations

import os
import random
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from autoseg.errors import AutosegError
from autoseg.inference.checkpoints import fill, read_weights
from autoseg.trainers.checkpoint import load_state, save_state, save_weights


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_weights_can_be_read_by_who_can_read_their_folder(tmp_path: Path) -> None:
    for mode, expected in ((0o755, 0o644), (0o750, 0o640), (0o700, 0o600)):
        tmp_path.chmod(mode)
        save_weights(tmp_path / "weights.safetensors", {"network": torch.nn.Linear(1, 1)}, {})
        assert (tmp_path / "weights.safetensors").stat().st_mode & 0o777 == expected


def test_a_damaged_state_is_told_whatever_its_bytes_are(tmp_path: Path) -> None:
    """torch raises errors of many kinds for files that were cut short or changed."""
    path, draw = tmp_path / "state.pt", random.Random(0)
    save_state(path, {"a": torch.ones(5), "b": {"c": 1.0, "d": "x"}})
    whole = path.read_bytes()
    for number in range(400):
        changed = bytearray(whole if number % 2 else draw.randbytes(draw.randrange(200)))
        if number % 4 == 1:
            changed = changed[:draw.randrange(len(changed))]
        elif number % 4 == 3:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            load_state(path, torch.device("cpu"))
        except AutosegError as error:
            assert "state.pt" in str(error)


def changed_archive(path: Path, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> None:
    """Write a state whose entries, by the end of their names, hold other bytes. Checksums fit."""
    save_state(path, {"a": torch.ones(5)})
    with zipfile.ZipFile(path) as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in whole.items():
            archive.writestr(name, entries.get(name.rpartition("/")[2].partition(".")[0], content))


@pytest.mark.parametrize(("entries", "compression", "said"), [
    ({"0": bytes(200 * 2**20)}, zipfile.ZIP_DEFLATED, "is damaged"),
    ({"data": b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."}, zipfile.ZIP_STORED, "holds more than"),
    ({"data": b"\x80\x02]."}, zipfile.ZIP_STORED, "holds no state of a training, but list"),
    ({"data": b"\x80\x02K\x01K\x02"}, zipfile.ZIP_STORED, "is damaged"),
])
def test_an_archive_that_would_fill_the_memory_or_holds_no_state_is_refused(
    tmp_path: Path, entries: dict[str, bytes], compression: int, said: str
) -> None:
    """2 GB of zeros as one number, 200 MB of them packed into 200 kB, a list, an unfinished stream."""
    path = tmp_path / "state.pt"
    changed_archive(path, compression, **entries)
    with pytest.raises(AutosegError, match=f"state.pt {said}.*--restart") as caught:
        load_state(path, torch.device("cpu"))
    assert "weights_only" not in str(caught.value)


def test_a_flipped_bit_in_a_state_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"a": torch.arange(100.0)})
    content = bytearray(path.read_bytes())
    content[content.index(torch.arange(100.0).numpy().tobytes()) + 8] ^= 1
    path.write_bytes(content)
    with pytest.raises(AutosegError, match=r"state\.pt is damaged"):
        load_state(path, torch.device("cpu"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_only_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda path: load_state(path, torch.device("cpu")), read_weights):
        for path, said in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder")):
            with pytest.raises(AutosegError, match=f"is {said}.*but a file is expected"):
                read(path)


def test_weights_carry_a_digest_that_is_checked(tmp_path: Path) -> None:
    """Written again with one other value, they fit the network as before. Weights without a digest are read as they are."""
    path, layer = tmp_path / "fold_0" / "w.safetensors", torch.nn.Linear(3, 2)
    path.parent.mkdir()
    save_weights(path, {"network": layer}, {})
    whole = read_weights(path)
    assert torch.equal(whole["network.weight"], layer.weight)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(AutosegError, match=r"fold_0/w\.safetensors is damaged.*train this fold again"):
        read_weights(path)
    path.write_bytes(bytes(content).replace(b'"digest"', b'"dicest"'))  # and its name in the file's header, too
    with pytest.raises(AutosegError, match=r"is damaged: its weights are not those"):
        read_weights(path)
    save_file(whole, path)
    assert read_weights(path).keys() == whole.keys()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    save_file({"network.weight": torch.tensor([[1.0, value]])}, tmp_path / "w.safetensors")
    with pytest.raises(AutosegError, match=r"no numbers \(NaN or infinite, in network\.weight\)"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
def test_weights_of_another_kind_of_number_are_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    layer = torch.nn.Linear(3, 2)
    with pytest.raises(AutosegError, match="2 have another type .such as bias: torch"):
        fill(layer, {name: values.detach().to(dtype) for name, values in layer.state_dict().items()}, tmp_path)
    fill(layer, {name: values.detach().half() for name, values in layer.state_dict().items()}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, struct.pack("<Q", 2**40) + b"{}", struct.pack("<Q", 2) + b"{}" + bytes(9)])
def test_a_header_that_does_not_fit_the_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(AutosegError, match=r"w\.safetensors is damaged"):
        read_weights(tmp_path / "w.safetensors")
