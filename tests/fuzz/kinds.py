"""All targets and all cases of the corpus, by name."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib import import_module

from tests.fuzz.artefact_targets import artefact_targets
from tests.fuzz.attempt import Case, Target
from tests.fuzz.corpus_commands import command_cases
from tests.fuzz.corpus_images import image_cases
from tests.fuzz.corpus_other import other_cases
from tests.fuzz.dicom_targets import dicom_targets
from tests.fuzz.images import Reader, image_targets, read_as_label

LABELS = ("nii", "mha_zlib", "nrrd_gzip", "tiff_strips", "png_palette", "png_4")  # formats that are read as labels, too


@lru_cache
def targets(reader: str) -> dict[str, Target]:
    """Return every target. reader: "module:function" that reads images (see `images.Reader`)."""
    labels = {
        f"label_{name}": replace(target, name=f"label_{name}")
        for name, target in image_targets(read_as_label).items()
        if name in LABELS
    }
    return image_targets(_reader(reader)) | labels | artefact_targets() | dicom_targets()


@lru_cache
def cases(reader: str) -> dict[str, Case]:
    """Return every case of the corpus. reader: as in `targets`."""
    return {case.name: case for case in (*image_cases(_reader(reader)), *other_cases(), *command_cases())}


def target_named(name: str, reader: str) -> Target:
    """Return a target. Raises KeyError where there is none of this name."""
    return targets(reader)[name]


def case_named(name: str, reader: str) -> Case:
    """Return a case of the corpus. Raises KeyError where there is none of this name."""
    return cases(reader)[name]


def _reader(name: str) -> Reader:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]
