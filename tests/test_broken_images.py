"""Broken, hostile and contradictory images end in one AutosegError that names them: no crash, no hang, no other voxels."""

from __future__ import annotations

import gzip
import io
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import psutil
import pytest
import SimpleITK as sitk
import tifffile
from PIL import Image as Pillow

from autoseg.errors import AutosegError
from autoseg.image import Geometry, Image
from autoseg.image_io import ENDINGS, foreign, read_geometry, read_image, write_label

VOLUME = np.random.default_rng(0).integers(1, 200, (3, 4, 5)).astype(np.int16)
PICTURE = np.random.default_rng(1).integers(0, 256, (40, 50)).astype(np.uint8)
NRRD = "NRRD0005\ntype: int16\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: raw\n"
META = ("ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementSpacing = 1 2 3\n"
        "ElementDataFile = LOCAL\n")


def refused(path: Path, content: bytes, found: str = "") -> None:
    path.write_bytes(content)
    with pytest.raises(AutosegError, match=rf"{path.name}.*{found}"):
        read_image(path)


def nifti(**fields: object) -> bytearray:
    image = nib.Nifti1Image(VOLUME.T, np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    return bytearray(image.header.binaryblock + bytes(4) + VOLUME.tobytes())


def packed_by(function: Callable[[Path], object], path: Path) -> bytearray:
    function(path)
    return bytearray(path.read_bytes())


# Whatever the format: regular files only


@pytest.mark.parametrize("ending", ENDINGS)
def test_pipes_devices_folders_and_sockets_are_named_and_nobody_waits_for_them(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"device{ending}").symlink_to("/dev/zero")
    (tmp_path / f"folder{ending}").mkdir()
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.bind(str(tmp_path / f"socket{ending}"))
        for kind in ("pipe", "device", "folder", "socket"):
            for read in (read_image, read_geometry):
                with pytest.raises(AutosegError, match=rf"{kind}{ending} is a {kind}"):
                    read(tmp_path / f"{kind}{ending}")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha", ".tif", ".png"])
def test_names_that_are_not_utf8_are_read_and_written(tmp_path: Path, ending: str) -> None:
    name = os.fsdecode(b"caf\xe9" + ending.encode())
    image = Image(VOLUME[None, :1].astype(np.uint8), Geometry((1.0, 1.0, 1.0)))
    write_label(tmp_path / name, image.array[0], image)
    np.testing.assert_array_equal(read_image(tmp_path / name).array, image.array)


def test_lzw_and_colours_of_16_bits_are_read_under_names_that_are_not_utf8(tmp_path: Path) -> None:
    Pillow.fromarray(PICTURE).save(tmp_path / "a.tif", compression="tiff_lzw")
    deep = np.random.default_rng(0).integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(tmp_path / "a.png"))
    for ending, expected in ((".tif", PICTURE[None, None]), (".png", np.moveaxis(deep, -1, 0)[:, None])):
        path = tmp_path / os.fsdecode(b"\xff" + ending.encode())
        (tmp_path / f"a{ending}").rename(path)
        np.testing.assert_array_equal(read_image(path).array, expected)


# The process that runs other people's code


def test_a_process_that_dies_is_named_with_the_file_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.fromarray(PICTURE).save(tmp_path / "a.png")
    read_image(tmp_path / "a.png")
    process = foreign._running[-1]._process.pid
    psutil.Process(process).kill()
    psutil.wait_procs([psutil.Process(process)], timeout=10)
    monkeypatch.setattr(foreign, "START", "import os; os.read(int(os.sys.argv[2]), 9); os.kill(os.getpid(), 11)")
    with pytest.raises(AutosegError, match=r"a\.png is damaged: the library.*crashed on it \(exit -11\)"):
        read_image(tmp_path / "a.png")
    monkeypatch.undo()
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[0, 0], PICTURE)
    assert foreign._running[-1]._process.pid != process


def test_one_process_reads_all_files_of_its_parent_and_ends_with_it(tmp_path: Path) -> None:
    Pillow.fromarray(PICTURE).save(tmp_path / "a.png")
    code = ("import sys, os, signal; from pathlib import Path; from autoseg.image_io import foreign, read_image\n"
            f"for _ in range(3): read_image(Path({str(tmp_path / 'a.png')!r}))\n"
            "print(foreign._running[-1]._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    parent = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    pid = int(parent.stdout)
    if psutil.pid_exists(pid):
        psutil.wait_procs([psutil.Process(pid)], timeout=10)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_without_a_second_process_files_are_read_in_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, a process cannot be handed an open file."""
    Pillow.fromarray(PICTURE).save(tmp_path / "a.png")
    Pillow.fromarray(PICTURE).save(tmp_path / "a.tif", compression="tiff_lzw")
    sitk.WriteImage(sitk.GetImageFromArray(PICTURE[None]), str(tmp_path / "a.nrrd"))
    foreign._end()
    monkeypatch.delattr(socket, "recv_fds")
    descriptors = []
    for _ in range(3):
        for name in ("a.png", "a.tif", "a.nrrd"):
            np.testing.assert_array_equal(read_image(tmp_path / name).array[0, 0], PICTURE)
        descriptors.append(psutil.Process().num_fds())
    assert not foreign._running and descriptors[1] == descriptors[2]


def test_an_interrupted_question_is_not_answered_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("a.png", 1), ("b.png", 2)):
        Pillow.fromarray(np.full((4, 5), value, np.uint8)).save(tmp_path / name)
    read_image(tmp_path / "a.png")
    process = foreign._running[-1]
    monkeypatch.setattr(process, "_receive", lambda count: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        read_image(tmp_path / "a.png")
    assert (read_image(tmp_path / "b.png").array == 2).all()


def test_a_question_that_takes_far_too_long_ends_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Pillow.fromarray(PICTURE).save(tmp_path / "a.png")
    foreign._end()
    monkeypatch.setattr(foreign, "START", foreign.START.replace("main; main()", "main\n") + (
        "from autoseg.image_io import decode_flat, foreign_process\n"
        "foreign_process.CPU_S = 0.1; decode_flat.pixels = lambda path, entries: next(filter(None, iter(int, 1)))\nmain()"))
    with pytest.raises(AutosegError, match=r"a\.png is damaged: reading it took far longer"):
        read_image(tmp_path / "a.png")


def test_libraries_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = packed_by(lambda path: sitk.WriteImage(sitk.GetImageFromArray(VOLUME), str(path), True), tmp_path / "a.mha")
    whole[-6] ^= 255
    refused(tmp_path / "b.mha", whole)
    whole = packed_by(lambda path: Pillow.fromarray(PICTURE).save(path, compression="tiff_lzw"), tmp_path / "a.tif")
    for place in range(20, 300, 40):
        whole[place] ^= 0x7F
    refused(tmp_path / "b.tif", whole)
    assert capfd.readouterr() == ("", "")


# NRRD and MetaImage


@pytest.mark.parametrize("header", [
    NRRD + "kinds: " + "x" * 2100 + "\n",
    NRRD + "space: " + "y" * 1900 + "\n", NRRD.replace("5 4 3", "1e308 4 3"), NRRD.replace("5 4 3", "-5 4 3"),
    NRRD.replace("5 4 3", "5 4"), NRRD.replace("dimension: 3", "dimension: 4000000000"),
    NRRD.replace("dimension: 3", "dimension: -1"),
    NRRD.replace("raw", "gzap"), NRRD.replace("int16", "block"), NRRD.replace("endian: little\n", ""), NRRD + "sizes: 4 5 3\n",
    NRRD + "space directions: (1,0,0) (0,1,0)\n", NRRD + "space origin: " + "(" * 500 + "\n", NRRD + "garbage\n",
    NRRD + "byte skip: 1e9\n", NRRD + "spacings: 1 1\n",
    NRRD + "space: left-posterior-superior\nspace origin: (1,2,3,4,5,6,7,8,9)\n",
])
def test_nrrd_header_out_of_bounds_is_refused(tmp_path: Path, header: str) -> None:
    refused(tmp_path / "a.nrrd", header.encode() + b"\n" + VOLUME.tobytes())


def test_long_notes_in_nrrd_are_no_harm(tmp_path: Path) -> None:
    notes = "# " + "c" * 9000 + "\nunits: " + '"mm" ' * 900 + "\nSegment0_Tags:=" + "t" * 9000 + "\n\n"
    (tmp_path / "a.nrrd").write_bytes((NRRD + notes).encode() + VOLUME.tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.nrrd").array[0], VOLUME)


@pytest.mark.parametrize("old, new", [
    ("NDims = 3", "NDims = -1"), ("NDims = 3", "NDims = 2000000000"), ("NDims = 3", "NDims = 11"), ("5 4 3", "5 4"),
    ("5 4 3", "5 4 -3"),
    ("5 4 3", "5 4 1e30"), ("MET_SHORT", "MET_" + "X" * 3000), ("1 2 3", "1 2"), ("1 2 3", "1 2 " + "3" * 3000),
    ("ObjectType = Image", "ObjectType = Tube"), ("NDims = 3\n", ""),
    ("ElementSpacing", "HeaderSize = 99999999999\nElementSpacing"),
    ("ElementSpacing", "ElementNumberOfChannels = -4\nElementSpacing"),
    ("ElementSpacing", "BinaryData = perhaps\nElementSpacing"),
])
def test_metaimage_header_out_of_bounds_is_refused(tmp_path: Path, old: str, new: str) -> None:
    refused(tmp_path / "a.mha", META.replace(old, new).encode() + VOLUME.tobytes())


@pytest.mark.parametrize("place", ["/etc/passwd", "/dev/stdin", "../a.raw", "sub/../../a.raw", "~/a.raw", "C:\\a.raw",
                                   "..\\a.raw"])
def test_voxels_outside_of_the_headers_folder_are_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "a.raw").write_bytes(VOLUME.tobytes())
    (tmp_path / "in").mkdir()
    refused(tmp_path / "in/a.mhd", META.replace("LOCAL", place).encode(), "own folder")
    refused(tmp_path / "in/b.mhd", META.replace("LOCAL", f"LIST\n{place}").encode(), "own folder")
    refused(tmp_path / "in/a.nhdr", (NRRD + f"data file: {place}\n").encode(), "own folder")


def test_pipe_named_as_file_of_voxels_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.raw")
    for name, header in (("a.mhd", META.replace("LOCAL", "a.raw")), ("a.nhdr", NRRD + "data file: a.raw\n")):
        (tmp_path / name).write_text(header)
        with pytest.raises(AutosegError, match=r"a\.raw is a pipe"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("header, ending", [(META, ".mha"), (NRRD + "\n", ".nrrd")])
def test_raw_voxels_are_as_many_as_announced_but_for_zero_padding(tmp_path: Path, header: str, ending: str) -> None:
    voxels = VOLUME.tobytes()
    (tmp_path / f"a{ending}").write_bytes(header.encode() + voxels + bytes(10))
    np.testing.assert_array_equal(read_image(tmp_path / f"a{ending}").array[0], VOLUME)
    refused(tmp_path / f"b{ending}", header.encode() + voxels + b"\1")
    refused(tmp_path / f"b{ending}", header.encode() + voxels + bytes(24), "more than the 120 bytes")
    refused(tmp_path / f"b{ending}", header.encode() + voxels[:-1], "truncated")


@pytest.mark.parametrize("header, ending, pack", [
    (META.replace("Element", "CompressedData = True\nElement", 1), ".mha", zlib.compress),
    (NRRD.replace("raw", "gzip") + "\n", ".nrrd", gzip.compress),
])
def test_packed_voxels_with_a_wrong_checksum_or_of_another_length_are_refused(
    tmp_path: Path, header: str, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    good = bytearray(pack(VOLUME.tobytes()))
    (tmp_path / f"a{ending}").write_bytes(header.encode() + good)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{ending}").array[0], VOLUME)
    wrong = good.copy()
    wrong[-5 if ending == ".nrrd" else -1] ^= 1
    refused(tmp_path / f"b{ending}", header.encode() + wrong, "damaged")
    refused(tmp_path / f"b{ending}", header.encode() + good + b"x", "follows")
    refused(tmp_path / f"b{ending}", header.encode() + good[:-1], "truncated")
    refused(tmp_path / f"b{ending}", header.encode() + pack(VOLUME.tobytes() + bytes(2**22)), "more than the 120 bytes")
    refused(tmp_path / f"b{ending}", header.encode() + pack(VOLUME.tobytes()[:-2]), "truncated")


def test_length_of_packed_metaimage_is_compared_with_the_file(tmp_path: Path) -> None:
    packed = zlib.compress(VOLUME.tobytes())
    header = META.replace("Element", f"CompressedData = True\nCompressedDataSize = {len(packed) + 1}\nElement", 1)
    refused(tmp_path / "a.mha", header.encode() + packed, "packed bytes")


def test_other_forms_of_nrrd_and_metaimage_are_read_as_simpleitk_reads_them(tmp_path: Path) -> None:
    text = " ".join(map(str, VOLUME.ravel())).encode() + b"\n"
    (tmp_path / "a.raw").write_bytes(b"skipped" + VOLUME.astype(">i2").tobytes())
    for number, part in enumerate(VOLUME):
        (tmp_path / f"z{number + 1}.raw").write_bytes(part.tobytes())
    big = META.replace("Element", "BinaryDataByteOrderMSB = True\nElement", 1)
    files = {
        "text.mha": META.replace("Element", "BinaryData = False\nElement", 1).encode() + text,
        "big.mhd": big.replace("Element", "HeaderSize = 7\nElement", 1).replace("LOCAL", "a.raw").encode(),
        "end.mhd": big.replace("Element", "HeaderSize = -1\nElement", 1).replace("LOCAL", "a.raw").encode(),
        "list.mhd": META.replace("LOCAL", "LIST\nz1.raw\nz2.raw\nz3.raw").encode(),
        "many.mhd": META.replace("LOCAL", "z%d.raw 1 3 1").encode(),
        "text.nrrd": (NRRD.replace("raw", "ascii") + "\n").encode() + text,
        "hex.nrrd": (NRRD.replace("raw", "hex") + "\n").encode() + VOLUME.tobytes().hex().encode(),
        "skip.nhdr": (NRRD.replace("little", "big") + "byte skip: 7\ndata file: a.raw\n").encode(),
        "end.nhdr": (NRRD.replace("little", "big") + "byte skip: -1\ndata file: ./a.raw\n").encode(),
        "list.nhdr": (NRRD + "data file: LIST\nz1.raw\nz2.raw\nz3.raw\n").encode(),
        "many.nhdr": (NRRD + "data file: z%d.raw 1 3 1\n").encode(),
        "kind.nrrd": (NRRD + "kinds: vector domain domain\n\n").encode() + VOLUME.tobytes(),
        "last.nrrd": (NRRD + "kinds: domain domain list\n\n").encode() + VOLUME.tobytes(),
        "note.mha": ("Comment = by hand\n" + META).encode() + VOLUME.tobytes(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        image, peer = read_image(tmp_path / name), sitk.ReadImage(str(tmp_path / name))
        stored = sitk.GetArrayFromImage(peer)
        if peer.GetNumberOfComponentsPerPixel() > 1:
            stored = np.moveaxis(stored, -1, 0)
        np.testing.assert_array_equal(image.array, stored.reshape(image.array.shape), err_msg=name)
        assert image.geometry.spacing_mm[:0:-1] == peer.GetSpacing()[:2], name


# NIfTI and MGH


@pytest.mark.parametrize("fields, found", [
    ({"bitpix": 8}, "bitpix"), ({"datatype": 2}, "bitpix"), ({"datatype": 512, "bitpix": 32}, "bits"),
    ({"dim": [3, 5, 4, 2, 1, 1, 1, 1]}, "more than the 80 bytes"), ({"dim": [3, 5, 3, 3, 1, 1, 1, 1]}, "more than"),
    ({"dim": [2, 5, 4, 3, 1, 1, 1, 1]}, "more than"), ({"vox_offset": 1e9}, "vox_offset"), ({"vox_offset": 356}, "truncated"),
])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_nifti_that_contradicts_itself_is_refused(tmp_path: Path, fields: dict[str, object], found: str, ending: str) -> None:
    content = nifti(**fields)
    refused(tmp_path / f"a{ending}", gzip.compress(content) if ending == ".nii.gz" else content, found)


def test_nifti_may_be_followed_by_padding_but_by_nothing_else(tmp_path: Path) -> None:
    good = bytes(nifti())
    for name, content in (("a.nii", good + bytes(9)), ("a.nii.gz", gzip.compress(good) + bytes(60_000))):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_image(tmp_path / name).array[0], VOLUME)
    refused(tmp_path / "b.nii.gz", gzip.compress(good) + bytes(70_000), "follows")
    refused(tmp_path / "b.nii.gz", gzip.compress(good) + b"more", "follows")
    refused(tmp_path / "b.nii.gz", gzip.compress(good + bytes(2**25)), "more than the 120 bytes")


def mgh(array: np.ndarray = VOLUME) -> bytearray:
    return bytearray(nib.MGHImage(array.T, np.eye(4)).to_bytes())


def test_mgh_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    good = bytes(mgh())
    tags = struct.pack(">iq", 3, 7) + b"mri_any"
    (tmp_path / "a.mgh").write_bytes(good + tags)
    np.testing.assert_array_equal(read_image(tmp_path / "a.mgh").array[0], VOLUME)
    for offset, number in ((4, 4), (8, 3), (12, 2), (12, -3), (4, 2**30), (20, 99), (20, 0), (0, 2)):
        refused(tmp_path / "b.mgh", good[:offset] + struct.pack(">i", number) + good[offset + 4 :])
    refused(tmp_path / "b.mgh", bytes(len(good)), "not a FreeSurfer image")
    packed = bytearray(gzip.compress(good))
    packed[-6] ^= 1
    refused(tmp_path / "b.mgz", packed, "damaged")
    refused(tmp_path / "b.mgz", gzip.compress(good[:100])[:60])


# Pictures


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)


def rows_of(array: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in array)


def test_png_with_a_wrong_checksum_or_of_another_size_is_refused(tmp_path: Path) -> None:
    header, packed = struct.pack(">IIBBBBB", 50, 40, 8, 0, 0, 0, 0), bytearray(zlib.compress(rows_of(PICTURE)))
    (tmp_path / "a.png").write_bytes(png((b"IHDR", header), (b"IDAT", bytes(packed)), (b"IEND", b"")))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[0, 0], PICTURE)
    whole = bytearray((tmp_path / "a.png").read_bytes())
    for place in (18, 31, 100, len(whole) - 1):
        changed = whole.copy()
        changed[place] ^= 1
        refused(tmp_path / "b.png", changed, "checksum")
    packed[-1] ^= 1
    refused(tmp_path / "b.png", png((b"IHDR", header), (b"IDAT", bytes(packed)), (b"IEND", b"")), "unpacked")
    for size in ((50, 39), (50, 41), (49, 40), (51, 40)):
        other = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
        refused(tmp_path / "b.png", png((b"IHDR", other), (b"IDAT", zlib.compress(rows_of(PICTURE))), (b"IEND", b"")))


def test_png_palette_that_is_not_there_is_named(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 50, 40, 8, 3, 0, 0, 0)
    pixels = (b"IDAT", zlib.compress(rows_of(PICTURE)))
    refused(tmp_path / "a.png", png((b"IHDR", header), pixels, (b"IEND", b"")), "palette")
    refused(tmp_path / "a.png", png((b"IHDR", header), (b"PLTE", bytes(6)), pixels, (b"IEND", b"")), "palette")


@pytest.mark.parametrize("options", [{}, {"interlace": 1}, {"bits": 1}, {"bits": 4}])
def test_forms_of_png_are_unpacked_as_pillow_does(tmp_path: Path, options: dict[str, int]) -> None:
    """A picture of 5 × 3 pixels, all zero but the first, in one pass or seven."""
    bits = options.get("bits", 8)
    if options.get("interlace"):
        rows = b"\0\1" + bytes(2 + 2 + 4 + 6 + 6)
    else:
        rows = b"\0" + bytes([1 << (8 - bits)]) + bytes((5 * bits + 7) // 8 - 1) + bytes(2 * (1 + (5 * bits + 7) // 8))
    header = struct.pack(">IIBBBBB", 5, 3, bits, 0, 0, 0, options.get("interlace", 0))
    (tmp_path / "a.png").write_bytes(png((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").array[0, 0], np.eye(3, 5) * (np.arange(3) == 0)[:, None])


@pytest.mark.parametrize("mode, progressive, subsampling", [
    ("L", False, 0), ("L", True, 0), ("RGB", False, 0), ("RGB", False, 2), ("RGB", True, 2)])
def test_jpeg_that_announces_another_size_than_it_holds_is_refused(
    tmp_path: Path, mode: str, progressive: bool, subsampling: int
) -> None:
    array = np.random.default_rng(3).integers(0, 256, (96, 80, 3)).astype(np.uint8)
    stored = array if mode == "RGB" else array[..., 0]
    content = packed_by(lambda path: Pillow.fromarray(stored).save(
        path, quality=90, progressive=progressive, subsampling=subsampling), tmp_path / "a.jpg")
    expected = np.asarray(Pillow.open(io.BytesIO(content)))
    np.testing.assert_array_equal(read_image(tmp_path / "a.jpg").array[0, 0], expected[..., 0] if mode == "RGB" else expected)
    place = content.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    for rows, columns in ((160, 80), (32, 80), (96, 160), (96, 32), (130, 80), (64, 80)):
        refused(tmp_path / "b.jpg", content[:place] + struct.pack(">HH", rows, columns) + content[place + 4 :], "pixels")


def test_bmp_that_holds_more_or_fewer_rows_than_announced_is_refused(tmp_path: Path) -> None:
    content = packed_by(lambda path: Pillow.fromarray(PICTURE).save(path), tmp_path / "a.bmp")
    np.testing.assert_array_equal(read_image(tmp_path / "a.bmp").array[0, 0], PICTURE)
    for rows in (39, 41):
        refused(tmp_path / "b.bmp", content[:22] + struct.pack("<i", rows) + content[26:])


# TIFF


def tiff(array: np.ndarray, path: Path, **options: object) -> tuple[bytearray, dict[int, int]]:
    """Return a file's bytes, and where the entry of each tag of its first page stands."""
    tifffile.imwrite(path, array, **{"photometric": "minisblack", "metadata": None, **options})
    with tifffile.TiffFile(path) as file:
        return bytearray(path.read_bytes()), {tag.code: tag.offset for tag in file.pages[0].tags}


def test_tiff_whose_pages_run_in_a_circle_is_refused(tmp_path: Path) -> None:
    content, tags = tiff(VOLUME, tmp_path / "a.tif")
    first = min(tags.values()) - 2
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        last = file.pages[2].offset
    entries = struct.unpack_from("<H", content, last)[0]
    struct.pack_into("<I", content, last + 2 + 12 * entries, first)
    refused(tmp_path / "b.tif", content, "circle")
    struct.pack_into("<I", content, first + 2 + 12 * struct.unpack_from("<H", content, first)[0], first)
    refused(tmp_path / "b.tif", content, "circle")


def test_tiff_with_short_tables_or_impossible_sizes_is_refused(tmp_path: Path) -> None:
    content, tags = tiff(np.tile(PICTURE, (2, 2))[:64, :64], tmp_path / "a.tif", tile=(16, 16))
    changes = {324: (4, 8), 325: (4, 8), 258: (8, 30_000), 256: (8, 10_000), 257: (8, 80), 322: (8, 0), 277: (8, 7)}
    for tag, (place, number) in changes.items():
        changed = content.copy()
        struct.pack_into("<H" if place == 8 else "<I", changed, tags[tag] + place, number)
        refused(tmp_path / "b.tif", changed)
    content, tags = tiff(PICTURE, tmp_path / "a.tif")
    for tag, number in ((257, 39), (257, 60), (256, 49), (256, 80), (258, 30_000), (258, 16)):
        changed = content.copy()
        struct.pack_into("<H", changed, tags[tag] + 8, number)
        refused(tmp_path / "b.tif", changed)


def test_packed_tiff_with_a_wrong_checksum_or_of_another_size_is_refused(tmp_path: Path) -> None:
    content, tags = tiff(PICTURE, tmp_path / "a.tif", compression="zlib")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").array[0, 0], PICTURE)
    (place,), (count,) = (struct.unpack_from("<I", content, tags[tag] + 8) for tag in (273, 279))
    changed = content.copy()
    changed[place + count - 1] ^= 1
    refused(tmp_path / "b.tif", changed)
    for tag, number in ((257, 39), (257, 60), (256, 49), (256, 80)):
        changed = content.copy()
        struct.pack_into("<H", changed, tags[tag] + 8, number)
        refused(tmp_path / "b.tif", changed)


# Memory


def memory_of(code: str) -> int:
    """Return the MB that a program and its children took at most, over what it takes to import the package."""
    report = ("import re, resource; own = int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
              "print(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) // 1024)")  # its own would be pytest's
    code = f"from pathlib import Path; from autoseg.image_io import foreign, read_image\n{code}\nforeign._end()\n{report}"
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32)))
    return int(result.stdout)


def test_files_that_announce_or_unpack_to_gigabytes_take_no_memory(tmp_path: Path) -> None:
    jpeg = packed_by(lambda path: Pillow.fromarray(PICTURE).save(path), tmp_path / "a.jpg")
    place = jpeg.index(b"\xff\xc0") + 5
    tif, tags = tiff(PICTURE, tmp_path / "a.tif", compression="zlib")
    bomb, zeros = zlib.compress(bytes(2**28), 1), gzip.compress(bytes(2**24), 1) * 32
    struct.pack_into("<I", tif, tags[273] + 8, len(tif))
    struct.pack_into("<I", tif, tags[279] + 8, len(bomb))
    files = {
        "a.nrrd": NRRD.replace("5 4 3", "1000 1000 1600").encode() + b"\n" + bytes(100),
        "b.nrrd": NRRD.replace("raw", "gzip").encode() + b"\n" + zeros,
        "a.mha": META.replace("5 4 3", "1000 1000 1600").encode() + bytes(100),
        "a.mgh": mgh()[:4] + struct.pack(">iii", 1000, 1000, 1000) + mgh()[16:],
        "a.nii.gz": gzip.compress(nifti()) + zeros,
        "b.jpg": jpeg[:place] + struct.pack(">HH", 20_000, 20_000) + jpeg[place + 4 :],
        "a.png": png((b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 6, 0, 0, 0)), (b"IDAT", bomb[:10_000]), (b"IEND", b"")),
        "b.png": png((b"IHDR", struct.pack(">IIBBBBB", 50, 40, 8, 0, 0, 0, 0)), (b"IDAT", bomb), (b"IEND", b"")),
        "b.tif": tif + bomb,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    names = [str(tmp_path / name) for name in files]
    code = (f"for name in {names!r}:\n    try:\n        read_image(Path(name))\n        raise SystemExit(name)\n"
            "    except foreign.AutosegError as error:\n        assert Path(name).name in str(error), error")
    assert memory_of(code) < 300


def test_numbers_that_are_none_in_a_header_print_nothing(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    raw = mgh()
    struct.pack_into(">f", raw, 30, np.inf)
    struct.pack_into(">f", raw, 42, np.nan)
    refused(tmp_path / "a.mgh", raw)
    content = nifti(sform_code=1, srow_x=[np.inf, 0, 0, 0], pixdim=[1, np.inf, 1, 1, 0, 0, 0, 0])
    refused(tmp_path / "a.nii", content)
    assert not recwarn.list


def test_tiff_without_the_lengths_of_its_packed_parts_is_refused(tmp_path: Path) -> None:
    content, tags = tiff(PICTURE[:32, :48], tmp_path / "a.tif", tile=(16, 16), compression="zlib")
    struct.pack_into("<I", content, tags[325] + 4, 0)
    refused(tmp_path / "b.tif", content, "entry 325 holds 0 values")


def test_tiff_with_a_packed_part_of_no_bytes_is_refused(tmp_path: Path) -> None:
    content, tags = tiff(PICTURE, tmp_path / "a.tif", compression="zlib")
    struct.pack_into("<I", content, tags[279] + 8, 0)
    refused(tmp_path / "b.tif", content, "missing")
    content, tags = tiff(PICTURE[:32, :48], tmp_path / "a.tif", tile=(16, 16), compression="zlib")
    (table,) = struct.unpack_from("<I", content, tags[325] + 8)
    struct.pack_into("<I" if struct.unpack_from("<H", content, tags[325] + 2)[0] == 4 else "<H", content, table, 0)
    refused(tmp_path / "b.tif", content, "missing")


@pytest.mark.parametrize(("tag", "place", "form", "value"), [
    (259, 4, "<II", (256, 0)), (259, 4, "<II", (2, 300)), (259, 2, "<H", (2,)), (258, 8, "<H", (48,)), (258, 8, "<H", (33,)),
    (256, 4, "<I", (0,)),
])
def test_tiff_whose_entries_cannot_be_is_refused(
    tmp_path: Path, tag: int, place: int, form: str, value: tuple[int, ...]
) -> None:
    """tifffile leaves an entry out that it cannot read: without that of the compression, packed bytes are voxels."""
    content, tags = tiff(PICTURE, tmp_path / "a.tif", compression="zlib")
    struct.pack_into(form, content, tags[tag] + place, *value)
    refused(tmp_path / "b.tif", content)


def test_nifti_with_voxels_nowhere_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "a.nii", nifti(vox_offset=np.nan))


def test_nifti_with_a_slope_beyond_all_numbers_is_refused_in_silence(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    refused(tmp_path / "a.nii", nifti(scl_slope=3e38), "no 32-bit number")
    assert not recwarn.list


def test_neither_process_keeps_files_open(tmp_path: Path) -> None:
    Pillow.fromarray(PICTURE).save(tmp_path / "a.tif", compression="tiff_lzw")
    read_image(tmp_path / "a.tif")
    counts = []
    for _ in range(2):
        for _ in range(5):
            read_image(tmp_path / "a.tif")
        counts.append((psutil.Process().num_fds(), psutil.Process(foreign._running[-1]._process.pid).num_fds()))
    assert counts[0] == counts[1]
