"""The data: what the fingerprint measured and what the checks found."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from markupsafe import Markup

from autoseg.commands import command_line
from autoseg.fingerprint import Fingerprint, Range
from autoseg.plan import IntensityStatistics
from autoseg.reporting.artefacts import DatasetArtefacts
from autoseg.reporting.blocks import Block, Command, Figure, Folded, Heading, Section, Table, Text, figures
from autoseg.reporting.figures import box_rows, intensity_ranges
from autoseg.verification.findings import Finding
from autoseg.wording import MISSING, counted, listed, number

AXES = ("z (slices)", "y (rows)", "x (columns)")
CLASSES_SHOWN = 12
LOGARITHMIC_FROM = 30  # largest by smallest volume


def data_section(found: DatasetArtefacts, needs_fingerprint: bool) -> Section:
    """Show the training images, their intensities, the classes, and the findings.

    needs_fingerprint: whether it is said where the fingerprint is missing.
    """
    section = Section("data", "The data")
    section.blocks.append(Text(_in_one_sentence(found)))
    if found.fingerprint is None and needs_fingerprint:
        section.blocks += [
            Text("The fingerprint (what was measured over the training cases) is not there. This makes it:", is_note=True),
            Command(command_line(found.folder, "autoseg_plan_and_preprocess"))]
    elif found.fingerprint is not None:
        section.blocks += _images(found.fingerprint) + _intensities(found.fingerprint) + _classes(found.fingerprint)
    section.blocks += [Heading("What the checks found"), *_findings(found)]
    return section


def _in_one_sentence(found: DatasetArtefacts) -> str:
    parts = []
    if found.fingerprint is not None:
        parts.append(counted(len(found.fingerprint.cases), "training case"))
    elif found.dataset is not None:
        parts.append(counted(len(found.dataset.training), "training case"))
    if found.dataset is None:
        return f"{found.name}: {', '.join(parts) or 'dataset.json is not there'}."
    names = list(found.dataset.labels.foreground)
    channels = found.dataset.channel_names
    text = ", ".join(parts) + (f" of {counted(len(channels), 'channel')} ({listed(channels)})" if channels else "")
    text += f" with {counted(len(names), 'class', 'classes')} to find ({listed(names, 8)})" if names else ""
    text += f", read from {found.dataset.folder}."
    if found.dataset.test:
        text += f" {counted(len(found.dataset.test), 'test case')} without a label are there besides."
    return text


def _images(fingerprint: Fingerprint) -> list[Block]:
    cases = list(fingerprint.cases.values())
    if not cases:
        return []
    spacing, shape = np.array([case.spacing_mm for case in cases]), np.array([case.shape for case in cases])
    rows = [[f"voxel size along {axis}, mm", *_three(spacing[:, i])] for i, axis in enumerate(AXES)]
    rows += [[f"voxels along {axis}", *_three(shape[:, i])] for i, axis in enumerate(AXES)]
    rows += [[f"extent along {axis}, mm", *_three(shape[:, i] * spacing[:, i])] for i, axis in enumerate(AXES)]
    kept = np.array([case.share_kept for case in cases])
    rows.append(["kept by the crop to non-zero voxels, %", *_three(100 * kept)])
    runs = ", ".join(f"{name} in {counted(count, 'case')}" for name, count in fingerprint.orientations.items())
    return [
        Heading("Images"),
        Table("Size of the training images", ("", "smallest", "median", "largest"), rows),
        Text(f"Where the axes x, y, z run to in the patient: {runs}." if runs else "Orientation: not recorded."),
        *figures(_by_axis("Voxel size", spacing, "mm"), _by_axis("Shape", shape, "voxels"), is_wide=True)]


def _three(values: np.ndarray) -> list[str]:
    return [number(float(value), 4) for value in (values.min(), np.median(values), values.max())]


def _by_axis(title: str, values: np.ndarray, unit: str) -> Figure:
    if (values == values[0]).all():
        return Figure(title, Markup(""))  # the table says it all
    by_axis = {axis: values[:, i].tolist() for i, axis in enumerate(AXES)}
    picture = box_rows(f"{title} of {len(values)} training cases by axis", by_axis, unit)
    return Figure(f"{title}, {unit}", picture)


def _intensities(fingerprint: Fingerprint) -> list[Block]:
    channels = {
        name: statistics for index, name in enumerate(fingerprint.channel_names)
        if (statistics := fingerprint.foreground_intensities.get(str(index)))}
    if not channels:
        return []
    is_ct = all(name.upper() == "CT" for name in channels)
    unit = "Hounsfield units" if is_ct else "the images' own unit"
    rows = [[name, *(number(value, 4) for value in _values(its))] for name, its in channels.items()]
    columns = ("channel", "0.5 percentile", "median", "99.5 percentile", "mean", "standard deviation")
    ranges = {name: (its.percentile_00_5, its.median, its.percentile_99_5) for name, its in channels.items()}
    return [
        Heading("Intensities inside the labelled structures"),
        Table(f"Intensities of the foreground voxels of all cases, in {unit}", columns, rows),
        *figures(Figure(f"0.5 percentile, median (line) and 99.5 percentile, in {unit}",
                        intensity_ranges("Foreground intensities by channel", ranges, unit)), is_wide=True)]


def _values(its: IntensityStatistics) -> tuple[float, ...]:
    return its.percentile_00_5, its.median, its.percentile_99_5, its.mean, its.std


def _classes(fingerprint: Fingerprint) -> list[Block]:
    labels = fingerprint.labels
    if not labels:
        return []
    smallest = sorted(labels, key=lambda key: labels[key].volume_ml.median)
    shown, rest = smallest[:CLASSES_SHOWN], smallest[CLASSES_SHOWN:]
    title = f"Volume of the {CLASSES_SHOWN} smallest classes, ml" if rest else "Volume, ml"
    blocks: list[Block] = [
        Heading("Classes"), *figures(_volume_figure(title, fingerprint, shown), is_wide=True), _class_table(fingerprint, shown)]
    if rest:
        others = _volume_figure("Volume of the other classes, ml", fingerprint, rest)
        more = [*figures(others, is_wide=True), _class_table(fingerprint, rest)]
        blocks.append(Folded(f"The other {len(rest)} classes", more))
    return blocks


def _volume_figure(title: str, fingerprint: Fingerprint, chosen: Collection[str]) -> Figure:
    """Draw each class's volume in every case that holds it."""
    volumes = {
        fingerprint.labels[key].name: [case.labels[key].volume_ml for case in fingerprint.cases.values() if key in case.labels]
        for key in chosen}
    name = f"Volume of each class in {len(fingerprint.cases)} training cases"
    positive = [volume for row in volumes.values() for volume in row if volume > 0]
    is_wide = bool(positive) and max(positive) > LOGARITHMIC_FROM * min(positive)
    note = "From one label of the axis to the next it is ten times as much." if is_wide else ""
    return Figure(title, box_rows(name, volumes, "ml", is_wide, (None if is_wide else 0, None)), note)


def _class_table(fingerprint: Fingerprint, chosen: Collection[str]) -> Table:
    labels = fingerprint.labels

    def names(keys: Sequence[str]) -> str:
        return listed([labels[key].name if key in labels else key for key in keys]) or MISSING

    rows = []
    for key, label in labels.items():
        if key in chosen:
            touched = [other for other, share in label.touches.items() if share > 0.5]
            rows.append([label.name, f"{label.cases} of {len(fingerprint.cases)}", _range(label.volume_ml),
                         _range(label.components), names(touched), names(label.inside)])
    columns = ("class", "cases with it", "volume, ml", "separate pieces", "touches", "lies inside")
    return Table("Classes: smallest, median and largest over the cases", columns, rows, frozenset({4, 5}))


def _range(of: Range) -> str:
    if of.minimum == of.maximum:
        return number(of.median)
    return f"{number(of.minimum)} / {number(of.median)} / {number(of.maximum)}"


def _findings(found: DatasetArtefacts) -> list[Block]:
    if found.findings is None:
        return [Text("What the checks found was not recorded. This checks every file again:"),
                Command(command_line(found.folder, "autoseg verify"))]
    if not found.findings:
        return [Text("Every file was read and nothing is wrong.")]
    together: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in sorted(found.findings, key=lambda finding: finding.severity != "error"):
        together.setdefault((finding.severity, finding.problem, finding.remedy), []).append(finding)
    rows = [[problem, severity, _cases(same), remedy] for (severity, problem, remedy), same in together.items()]
    errors = sum(finding.severity == "error" for finding in found.findings)
    return [
        Text(f"{counted(errors, 'error')} (the case cannot be used as it is), "
             f"{counted(len(found.findings) - errors, 'warning')} (it can, and somebody should look)."),
        Table("Findings", ("problem", "severity", "cases", "what to do"), rows, frozenset({1, 2, 3}))]


def _cases(findings: Sequence[Finding]) -> str:
    names = list(dict.fromkeys(finding.case for finding in findings if finding.case))
    return listed(names, 8) or "all"
