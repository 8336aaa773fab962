"""The components of unions of labels: how many, and how large and how far away specks are; post-processing learns from them."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from autoseg import image_io
from autoseg.components.graph import ComponentGraph, component_graph
from autoseg.dataset import Case, Dataset, Labels
from autoseg.fingerprint import Fingerprint, LabelOfDataset, UnionOfCase, UnionOfDataset, linked, union_key
from autoseg.parallel import run_parallel
from autoseg.planners.segmentation.anatomy import range_over, rounded
from autoseg.verification.case import LABEL_BYTES

MAIN_SHARE = 0.05  # share of the union's volume in its case: what is larger is a part, hardly a slip of the pen
WORTH_A_PROCESS = 2**28  # voxels of all label files below which further processes cost more than they save

Union = tuple[int, ...]


class _MeasuredCase(NamedTuple):
    name: str
    unions: dict[str, UnionOfCase]


def with_unions(
    fingerprint: Fingerprint, dataset: Dataset, workers: int | None = None, finish: Callable[[object], None] | None = None
) -> Fingerprint:
    """Measure the unions of a fingerprint and add them; reads the label files of its cases once more, in parallel.

    Which unions matter is only known when all cases have been measured. A label that can no longer be read is left out.
    finish: called with each case that is done.
    """
    unions = relevant_unions(fingerprint.labels, dataset.labels)
    cases = [case for case in dataset.training if case.label is not None and case.name in fingerprint.cases]
    if not unions or not cases:
        return fingerprint
    measure = functools.partial(_measure_case, ignore=dataset.labels.ignore, unions=unions)
    voxels = [image_io.number_of_voxels(case.label) for case in cases if case.label is not None]
    processes = workers if sum(voxels) > WORTH_A_PROCESS else 1
    measured: dict[str, dict[str, UnionOfCase]] = {}
    for outcome in run_parallel(measure, cases, LABEL_BYTES * max(voxels), processes):
        if outcome.error is None:
            measured[outcome.value.name] = outcome.value.unions
        if finish is not None:
            finish(outcome.item)
    return add_unions(fingerprint, unions, measured)


def relevant_unions(labels: Mapping[str, LabelOfDataset], meaning: Labels) -> list[Union]:
    """Return the unions that rules may be made for: each label value, each region, linked labels, all foreground; each once.

    Two labels are linked where at least 9 of 10 components of one touch the other. Linked labels give these unions: each pair,
    each label with all that are linked to it, and all that links connect. Pairs and families of labels that are all of one
    component in every case are left out: a rule for each of them has the same effect.
    """
    values = sorted(int(value) for value in labels)
    links = linked(labels)
    family: dict[int, set[int]] = defaultdict(set)
    for one, other in links:
        family[other] |= {one, other}
    scattered = {value for value in values if labels[str(value)].components.maximum > 1}
    joined = [union for union in [*map(set, links), *family.values()] if union & scattered]
    unions = [
        *((value,) for value in values), *(set(of_region) & set(values) for of_region in meaning.foreground.values()),
        *joined, *_hanging_together(links), values,
    ]
    return list(dict.fromkeys(tuple(sorted(union)) for union in unions if union))


def _hanging_together(links: Sequence[tuple[int, int]]) -> list[set[int]]:
    """Return the sets of labels that links connect."""
    found: list[set[int]] = []
    for link in links:
        joined = set(link).union(*(other for other in found if other & set(link)))
        found = [other for other in found if not other & joined] + [joined]
    return found


def measure_unions(
    labels: np.ndarray, spacing_mm: tuple[float, float, float], ignore: int | None, unions: Sequence[Union]
) -> dict[str, UnionOfCase]:
    """Measure the components of each union of which the case holds a label, by its label values ("1+2").

    labels: (Z, Y, X) non-negative integers. spacing_mm: (z, y, x). ignore: a value that counts as background. The volume
    is labelled once; unions are joined in the graph of its components.
    """
    graph = component_graph(labels, spacing_mm, ignore)
    measured = {union_key(union): _measure(graph, union) for union in unions}
    return {name: union for name, union in measured.items() if union is not None}


def _measure(graph: ComponentGraph, union: Union) -> UnionOfCase | None:
    joined = graph.join(union, graph.everything())
    if not len(joined.voxels):
        return None
    is_main = joined.voxels >= min(MAIN_SHARE * joined.voxels.sum(), joined.voxels.max())
    measured = UnionOfCase(
        components=len(joined.voxels), main_components=int(is_main.sum()),
        smallest_ml=rounded(joined.voxels.min() * graph.voxel_ml))
    if is_main.all():
        return measured
    of_main = is_main[joined.of]
    away_mm = graph.surfaces.nearest_mm(joined.members[~of_main], joined.of[~of_main], joined.members[of_main])
    return measured.model_copy(update={
        "largest_speck_ml": rounded(joined.voxels[~is_main].max() * graph.voxel_ml),
        "farthest_speck_mm": rounded(away_mm.max())})


def add_unions(
    fingerprint: Fingerprint, unions: Sequence[Union], measured: Mapping[str, Mapping[str, UnionOfCase]]
) -> Fingerprint:
    """Add unions to the fingerprint. measured: case name to what `measure_unions` returns."""
    pooled = {}
    for union in unions:
        holding = [of_case[union_key(union)] for of_case in measured.values() if union_key(union) in of_case]
        components = range_over([of_case.components for of_case in holding])
        main_components = range_over([of_case.main_components for of_case in holding])
        if components is None or main_components is None:
            continue
        with_specks = [of_case for of_case in holding if of_case.components > of_case.main_components]
        pooled[union_key(union)] = UnionOfDataset(
            labels=union, cases=len(holding), components=components, main_components=main_components,
            smallest_ml=min(of_case.smallest_ml for of_case in holding), cases_with_specks=len(with_specks),
            largest_speck_ml=range_over([of_case.largest_speck_ml for of_case in with_specks]),
            farthest_speck_mm=range_over([of_case.farthest_speck_mm for of_case in with_specks]))
    several = {
        name: {union: of_case for union, of_case in unions.items() if of_case.components > 1}
        for name, unions in measured.items()
    }
    cases = {
        name: case.model_copy(update={"unions": several.get(name, {})}) for name, case in fingerprint.cases.items()
    }
    return fingerprint.model_copy(update={"unions": pooled, "cases": cases})


def _measure_case(case: Case, ignore: int | None, unions: Sequence[Union]) -> _MeasuredCase:
    if case.label is None:
        return _MeasuredCase(case.name, {})
    label = image_io.read_label(case.label, case.images[0])
    return _MeasuredCase(case.name, measure_unions(label.array[0], label.geometry.spacing_mm, ignore, unions))
