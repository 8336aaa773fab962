"""Images that a prediction is asked for: a folder, one file, or Decathlon files with all channels in one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from autoseg import layouts
from autoseg.dataset import grid_differences, stack_channels
from autoseg.errors import AutosegError, many, some
from autoseg.image import Image
from autoseg.image_io import ENDINGS, file_ending, is_series, read_geometry, read_image
from autoseg.inference.studies import Searched
from autoseg.names import name_fault, on_disk

PICTURES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
Channels = dict[int, list[Path]]
NUMBER = re.compile(r"[_-]?c?(\d{1,5})$")  # at the end of a name: of a channel, as people write it


@dataclass(frozen=True)
class PredictionInput:
    """One case to predict.

    images: one file per channel, or one file that holds all. problem: why this case cannot be predicted, or None.
    """

    name: str
    images: tuple[Path, ...]
    problem: str | None = None

    def __str__(self) -> str:
        return f"case {self.name}"


class _Source(NamedTuple):
    """An image file, or a series of them. name: without the ending. problem: why a series is no volume, or None."""

    name: str
    path: Path
    problem: str | None = None


class TakesChannels(Protocol):
    """A description of a model that says which channels it takes."""

    @property
    def channel_names(self) -> tuple[str, ...]: ...


def list_inputs(
    place: Path | Searched, description: TakesChannels, one_file_each: bool = False, repair: bool = False
) -> list[PredictionInput]:
    """Return the cases in a folder of images, or of one image, sorted by name; also series of DICOM files, anywhere below.

    Channels are files `<case>_0000.nii.gz`, `<case>_0001.nii.gz`, ...; a file without such a number is a case that holds all its
    channels (for models of one channel, any image). Hidden files (`._*`, `.DS_Store`) are ignored, and pictures beside DICOM.
    A folder `<case>_0000` that holds one series is a channel like a file of that name; other series are cases.
    one_file_each: every file is a case with all its channels, whatever its name. repair: mend series that can be (`studies`).
    A case that lacks channels, and a series that is no whole volume, is listed with its problem, so that the others can be
    predicted. place: the folder or image; `Searched` where its series were, or will be, looked for by others, too: then `repair`
    is its own.
    Raises AutosegError where it does not exist or holds no image.
    """
    searched = place if isinstance(place, Searched) else Searched(place, repair)
    path = searched.path
    channels = 1 if one_file_each else len(description.channel_names)
    if not path.exists():
        raise AutosegError(f"{path} does not exist. Give a folder of images, or one image, with -i.")
    sources = [_Source(*one) for one in searched.series()]
    if path.is_dir():
        left_out = (".dcm", *PICTURES) if sources else (".dcm",)
        sources += [_Source(layouts.stem(file), file) for file in layouts.image_files(path) if file_ending(file) not in left_out]
    elif not sources:
        sources = [_Source(layouts.stem(file), file) for file in _with_siblings(path, channels)]
    if not sources:
        raise AutosegError(" ".join([f"{path} holds no image. Images end in {', '.join(ENDINGS)}.", *searched.notes()[:4]]))
    cases: dict[str, Channels] = defaultdict(lambda: defaultdict(list))
    plain: list[PredictionInput] = []
    for source in sources:
        name, channel = (source.name, None) if one_file_each else _split_name(source, sources, channels)
        if channel is None or source.problem is not None:
            plain.append(PredictionInput(source.name, (source.path,), source.problem))
        else:
            cases[name][channel].append(source.path)
    numbered = [_case(name, channels, description.channel_names) for name, channels in cases.items()]
    if channels == 1 and not one_file_each:
        plain = [_whole(item, description.channel_names) if is_series(item.images[0]) else item for item in plain]
    if channels > 1:
        plain = [_whole(item, description.channel_names) for item in plain]
        numbered = [_with_nearest(item, plain) for item in numbered]
    return _unique(sorted(numbered + plain, key=lambda item: (item.name, item.images)))


def require_complete(item: PredictionInput) -> None:
    """Raise AutosegError with what is wrong about the case's files."""
    if item.problem is not None:
        raise AutosegError(f"{item}: {item.problem}")


def read_input(item: PredictionInput) -> Image:
    """Read all channels of a case, (C, Z, Y, X), on the first file's grid.

    Raises AutosegError where a file cannot be read, or lies on another grid than the first.
    """
    channels = []
    for path in item.images:
        try:
            channels.append(read_image(path))
        except AutosegError as error:
            raise AutosegError(f"{item}: {error}") from error
        if differing := grid_differences(channels[0], channels[-1]):
            raise AutosegError(f"{item}: {path} does not lie on the grid of {item.images[0]}: {differing}. "
                               "Give channels that lie on the same grid.")
    return stack_channels(channels)


def _with_siblings(path: Path, channels: int) -> list[Path]:
    """Return one image that a user named, or where it is a channel of several, all files of its case."""
    if not path.name.lower().endswith(ENDINGS):
        raise AutosegError(f"{path} is no image that autoseg reads. Images end in {', '.join(ENDINGS)}.")
    match = layouts.CHANNEL_SUFFIX.match(layouts.stem(path))
    if match is None or channels == 1:
        return [path]
    pattern = re.compile(re.escape(match["case"]) + r"_\d{4}" + re.escape(file_ending(path)))
    return [file for file in sorted(path.parent.iterdir()) if pattern.fullmatch(file.name)]


def _split_name(source: _Source, sources: Sequence[_Source], channels: int) -> tuple[str, int | None]:
    """Return case, and channel or None. For models of one channel, `patient_0007` without a `patient_0000` is a name."""
    match = layouts.CHANNEL_SUFFIX.match(source.name)
    if match and (channels > 1 or int(match["channel"]) == 0 or any(other.name == f"{match['case']}_0000" for other in sources)):
        return match["case"], int(match["channel"])
    return source.name, None


def _case(name: str, channels: Channels, channel_names: tuple[str, ...]) -> PredictionInput:
    """Return a case of numbered files, with the problem where there is one."""
    images = tuple(file for channel in sorted(channels) for file in channels[channel])
    wanted = set(range(len(channel_names)))
    missing = ", ".join(f"{channel:04} ({channel_names[channel]})" for channel in sorted(wanted - channels.keys()))
    surplus = ", ".join(f"{channel:04}" for channel in sorted(channels.keys() - wanted))
    twice = ", ".join(f"{channel:04}" for channel, files in sorted(channels.items()) if len(files) > 1)
    expected = f"the model takes {len(channel_names)} ({', '.join(channel_names)})"
    if missing and not (len(images) == 1 and _channels_inside(images[0]) == len(channel_names)):
        found = ", ".join(image.name for image in images)
        return PredictionInput(name, images, f"channel {missing} is missing: {expected}. There is: {found}.")
    if surplus:
        return PredictionInput(name, images, f"channel {surplus} is too much: {expected}. Move these files elsewhere.")
    if twice:
        return PredictionInput(name, images, f"channel {twice} is there in several files. Leave one of them.")
    return PredictionInput(name, images)


def _whole(item: PredictionInput, channel_names: tuple[str, ...]) -> PredictionInput:
    """Return a case of one file without a channel's number, with the problem where it does not hold all channels."""
    (file,), inside = item.images, _channels_inside(item.images[0])
    if item.problem is not None or inside in (0, len(channel_names)):
        return item
    if is_series(file) and len(channel_names) == 1:
        return PredictionInput(item.name, item.images, (
            f"the series in {file.parent} holds colours ({inside} channels), but the model takes gray images "
            f"({channel_names[0]}). Give a series like those that it was trained on."))
    if is_series(file):
        return PredictionInput(item.name, item.images, (
            f"the series in {file.parent} has {many(inside, 'channel')}, but the model takes {len(channel_names)} "
            f"({', '.join(channel_names)}). Put the series of each channel into a folder of its own, numbered with four digits: "
            f"{item.name}_0000, {item.name}_0001."))
    ending = file.name.removeprefix(item.name)
    found = NUMBER.search(item.name)
    case = item.name[:found.start()] if found else item.name
    channel = int(found.group(1)) if found else 0
    meant = f"{case}_{channel:04}{ending}" if channel < len(channel_names) else f"{item.name}_0000{ending}"
    return PredictionInput(item.name, item.images, (
        f"{file.name} holds {many(inside, 'channel')}, but the model takes {len(channel_names)} ({', '.join(channel_names)}). "
        f"Channels are files of their own, numbered with four digits: rename it, such as to {meant}."))


def _with_nearest(item: PredictionInput, plain: Sequence[PredictionInput]) -> PredictionInput:
    """Return a case that lacks channels with the file that may be one of them, by its name, where there is one."""
    near = [other.images[0].name for other in plain if NUMBER.sub("", other.name).lower() == item.name.lower()]
    if item.problem is None or not near:
        return item
    return PredictionInput(item.name, item.images, f"{item.problem} {some(near)} has nearly the right name.")


def _channels_inside(path: Path) -> int:
    """Return the number of channels in a file; 0 where its header cannot be read."""
    try:
        shape, _, _ = read_geometry(path)
    except AutosegError:
        return 0
    return shape[0]


def _unique(items: list[PredictionInput]) -> list[PredictionInput]:
    """Give all but the first of cases with the same name a problem (see `same_on_disk`): they would be written to one file."""
    seen: dict[str, PredictionInput] = {}
    nearly = ", but for capital letters or the form of Unicode"
    checked = []
    for item in items:
        if (first := seen.setdefault(on_disk(item.name), item)) is not item and item.problem is None:
            item = PredictionInput(item.name, item.images, f"{item.images[0].name} has the same case name as "
                                   f"{first.images[0].name}{nearly * (first.name != item.name)}. Rename one of them.")
        elif first is item and (fault := name_fault(item.name)):
            item = PredictionInput(item.name, item.images, f"{fault}. Rename {item.images[0].name!a}.")
        checked.append(item)
    return checked
