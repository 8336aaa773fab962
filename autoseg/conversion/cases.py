"""Cases of a dataset among the series of DICOM files, and what was drawn on each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.errors import some
from autoseg.image_io.dicom.annotations import Annotation
from autoseg.image_io.dicom.codes import TISSUE, Coding
from autoseg.image_io.dicom.naming import case_names
from autoseg.image_io.dicom.study import Found, Study
from autoseg.image_io.dicom.volume import DicomVolume, Series
from autoseg.names import name_fault

NAMES = {"PT": "PET", "MR": "MRI"}  # of modalities, as people and nnU-Net write them


@dataclass(frozen=True)
class SeriesCase:
    """A case: series that are its channels, and what was drawn on one of them. problem: why it cannot be one; "" where it can."""

    name: str
    channels: tuple[Found, ...]
    annotations: tuple[Annotation, ...] = ()
    problem: str = ""

    def __str__(self) -> str:
        return f"case {self.name}"

    @property
    def patient(self) -> str:
        return self.channels[0].volume.series.patient

    @property
    def inputs(self) -> list[Path]:
        """Return all files that the case is made from."""
        frames = {frame.path for channel in self.channels for frame in channel.volume.frames}
        return [*sorted(frames), *(annotation.path for annotation in self.annotations)]


def series_cases(root: Path, study: Study, patterns: Sequence[str]) -> list[SeriesCase]:
    """Return the cases among the series below a folder: each series, or with several patterns, each study.

    patterns: which series is the first, second, ... channel, by a part of its description, or its modality; empty for all series.
    A study that lacks a channel, or has several series for one, is listed with its problem.
    """
    if len(patterns) < 2:
        found = [one for one in study.found if not patterns or _fits(one.volume.series, patterns[0])]
        return named(root, [SeriesCase("", (one,)) for one in found])
    by_study: dict[str, list[Found]] = defaultdict(list)
    for one in study.found:
        by_study[one.volume.series.study].append(one)
    return named(root, [case for its in by_study.values() if (case := _study_case(its, patterns)) is not None])


def named(root: Path, cases: Sequence[SeriesCase]) -> list[SeriesCase]:
    """Return cases with names that tell them apart, after the folders below `root` that hold them."""
    names = case_names(root, [case.channels[0].volume.series for case in cases])
    return [replace(case, name=name, problem=case.problem or name_fault(name) or _colour(case))
            for case, name in zip(cases, names, strict=True)]


def _colour(case: SeriesCase) -> str:
    return "its voxels are colours, where one number is expected" * any(one.volume.components > 1 for one in case.channels)


def _study_case(found: Sequence[Found], patterns: Sequence[str]) -> SeriesCase | None:
    """Return the case of one study; None where no series is any channel."""
    fitting = {pattern: _best(found, pattern) for pattern in patterns}
    first = [its[0] for its in fitting.values() if its]
    if not first:
        return None
    lacking = [pattern for pattern, its in fitting.items() if not its]
    several = [f'"{pattern}" fits {some(one.volume.series for one in its)}' for pattern, its in fitting.items() if len(its) > 1]
    problem = ""
    if lacking:
        problem = f"no series is the channel {some(lacking)}; there are: {some((one.volume.series for one in found), 9)}"
    elif several:
        problem = f"several series could be one channel: {some(several)}. Give more of the description"
    return SeriesCase("", tuple(first), problem=problem)


def _best(found: Sequence[Found], pattern: str) -> list[Found]:
    """Return the series that fit a pattern; those whose whole description it is come before others."""
    whole = [one for one in found if one.volume.series.description.casefold() == pattern.casefold()]
    return whole or [one for one in found if _fits(one.volume.series, pattern)]


def _fits(series: Series, pattern: str) -> bool:
    words = pattern.casefold()
    return words in series.description.casefold() or words == series.modality.casefold()


def with_annotations(
    cases: Sequence[SeriesCase], annotations: Sequence[Annotation], study: Study
) -> tuple[list[SeriesCase], dict[str, str], dict[Path, str]]:
    """Return the cases with what was drawn on each, and why files are of none: those whose series is no volume,
    and the others, by path.

    A file is of the case that has the images that it names; where it names none that are there, of that with its series; where it
    names neither, of the only one in its frame of reference.
    """
    drawn: dict[int, list[Annotation]] = defaultdict(list)
    failed, left_out = {}, {}
    every = {frame.instance for one in study.found for frame in one.volume.frames}
    for annotation in annotations:
        of = [index for index, case in enumerate(cases) if any(_is_on(annotation, one.volume, every) for one in case.channels)]
        refused = [one for one in study.refused if one.is_fault and one.series.uid in annotation.series]
        if len(of) == 1:
            drawn[of[0]].append(annotation)
        elif refused and not of:
            failed[str(annotation.path)] = f"{annotation} was made on {refused[0]}"
        else:
            left_out[annotation.path] = _why_left_out(annotation, [cases[index] for index in of], study)
    return [replace(case, annotations=tuple(drawn[index])) for index, case in enumerate(cases)], failed, left_out


def volume_of(case: SeriesCase, annotation: Annotation) -> DicomVolume:
    """Return the channel of a case on which a file of it was made."""
    every = {frame.instance for one in case.channels for frame in one.volume.frames}
    return next(one.volume for one in case.channels if _is_on(annotation, one.volume, every))


def _is_on(annotation: Annotation, volume: DicomVolume, every: set[str]) -> bool:
    if annotation.images & every:
        return not annotation.images.isdisjoint(frame.instance for frame in volume.frames)
    if annotation.series or annotation.images:
        return volume.series.uid in annotation.series
    return bool(annotation.frame_of_reference) and annotation.frame_of_reference == volume.series.frame_of_reference


def _why_left_out(annotation: Annotation, cases: Sequence[SeriesCase], study: Study) -> str:
    if cases:
        return (f"{annotation} was made on the images of {len(cases)} cases: {some(case.name for case in cases)}. Choose series "
                "with --channels, or take it away.")
    if there := [one.volume.series for one in study.found if one.volume.series.uid in annotation.series]:
        return f"{annotation} was made on {there[0]}, which is no channel here."
    series = f"series {some(sorted(annotation.series))}, which is not there" if annotation.series else "no series that it names"
    return f"{annotation} was made on {series}. Put the series beside it."


def channel_names(cases: Sequence[SeriesCase], patterns: Sequence[str]) -> list[str]:
    """Return a name for each channel, by which it is normalized: CT, PET, ...; of MRI the pattern, or the description that all
    series share. Two phases of CT are both CT."""
    names = []
    for channel in range(max(1, len(patterns))):
        series = [case.channels[channel].volume.series for case in cases]
        modality = Counter(one.modality for one in series).most_common(1)[0][0] if series else ""
        shared = {one.description for one in series}
        own = patterns[channel] if patterns else shared.pop() if len(shared) == 1 else ""
        names.append(own if modality == "MR" and own else NAMES.get(modality, modality) or "image")
    return names


def modalities(cases: Sequence[SeriesCase]) -> Mapping[str, int]:
    """Return how many cases have each modality, or modalities of several channels; without those that have a problem."""
    return Counter(" + ".join(one.volume.series.modality or "unknown" for one in case.channels)
                   for case in cases if not case.problem)


def groups_of(cases: Sequence[SeriesCase]) -> dict[str, list[str]]:
    """Return patient to cases, for patients with several, whose cases belong into the same fold.

    An ID that all cases have tells nothing: it stands for no patient, or there is only one.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for case in cases:
        found[case.patient].append(case.name)
    return {patient: sorted(names) for patient, names in sorted(found.items()) if patient and 1 < len(names) < len(cases)}


def codes_of(cases: Sequence[SeriesCase], of_name: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    """Return the codes of classes in the form of dataset.json, of those whose segments all have the same, and not those of any
    tissue. of_name: class of each part by its name."""
    found: dict[str, set[Coding]] = defaultdict(set)
    for one in (annotation for case in cases for annotation in case.annotations):
        for number, coding in one.codings.items():
            if one.parts[number] in of_name:
                found[of_name[one.parts[number]]].add(coding)
    same = {name: its.pop() for name, its in sorted(found.items()) if len(its) == 1}
    return {name: {key: list(code) for key in ("type", "category", "modifier") if (code := getattr(coding, key)) is not None}
            for name, coding in same.items() if coding.type != TISSUE}


def described(case: SeriesCase, classes: Mapping[str, str]) -> dict[str, object]:
    """Return from what a case was made: patient, study, series, and files with what was drawn, as plain values."""
    return {"patient": case.patient, "study": case.channels[0].volume.series.study,
            "channels": [_channel(one) for one in case.channels],
            "labels": [{"file": str(one.path), "kind": one.kind, "instance": one.instance,
                        "classes": {name: classes[name] for name in one.parts.values() if name in classes}}
                       for one in case.annotations]}


def _channel(one: Found) -> dict[str, object]:
    series = one.volume.series
    return {"series": series.uid, "number": series.number, "description": series.description, "modality": series.modality,
            "part": series.part, "repairs": list(one.volume.repairs), "images": len(one.volume.frames)}


