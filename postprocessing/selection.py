"""Selection of the candidate rules that help: each is tried on the pooled validation predictions, and the best is taken first."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import NamedTuple

import numpy as np

from autoseg import image_io
from autoseg.best import DropDetached, DropSmall, KeepLargest, Rule, TriedRule
from autoseg.components.graph import ComponentGraph, component_graph
from autoseg.console import ShowProgress
from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.evaluation.case import Pair, read_pair
from autoseg.evaluation.metrics import class_keys, mean_without_nan
from autoseg.fingerprint import Fingerprint, UnionOfDataset, linked, union_key
from autoseg.parallel import run_parallel
from autoseg.postprocessing.components import looked_at, settle, surviving
from autoseg.postprocessing.rules import describe, label_names, region_names
from autoseg.voxels import count_pairs, count_values, slabs


def candidate_rules(fingerprint: Fingerprint, labels: Labels) -> list[Rule]:
    """Return every rule worth a try, each once; of two that gain the same, the one that stands first is to be preferred.

    - keep the largest components of all foreground, of each class or region, and of unions of linked labels (see
      `Fingerprint.unions`): as many as a training case has main ones, at most and in the median. Where a training case
      holds specks besides, they are spared in a first candidate (as large and as far from the main ones as any in
      training), in a second one (as far as in the median of the cases with specks), and not at all in a third.
    - drop components smaller than any in training, of each class or region;
    - drop components of a label that do not touch the label that at least 9 of 10 touch in training.

    Without measured unions, as in a fingerprint of an earlier version: keep one component of all foreground and of each.
    """
    values = tuple(sorted(int(value) for value in fingerprint.labels))
    rules: list[Rule] = []
    for union in sorted(fingerprint.unions.values(), key=lambda union: union.labels != values):  # all foreground first
        rules.extend(_keep_largest(union))
    if values and not fingerprint.unions:
        rules.extend(KeepLargest(labels=union, count=1) for union in [values, *((value,) for value in values)])
    rules.extend(_drop_small(fingerprint, labels))
    for value, other in linked(fingerprint.labels):
        rules.append(DropDetached(label=value, anchors=(other,)))
    return list(dict.fromkeys(rules))


def _keep_largest(union: UnionOfDataset) -> Iterator[KeepLargest]:
    most, median = int(union.main_components.maximum), int(union.main_components.median)
    if union.largest_speck_ml is not None and union.farthest_speck_mm is not None:
        spared_ml = rounded_up(union.largest_speck_ml.maximum)
        for spared_mm in (union.farthest_speck_mm.maximum, union.farthest_speck_mm.median):
            yield KeepLargest(labels=union.labels, count=most, spared_ml=spared_ml, spared_mm=rounded_up(spared_mm))
    yield KeepLargest(labels=union.labels, count=most)
    if median < most:
        yield KeepLargest(labels=union.labels, count=median)


def _drop_small(fingerprint: Fingerprint, labels: Labels) -> Iterator[DropSmall]:
    for values in labels.foreground.values():
        occurring = tuple(sorted(value for value in values if str(value) in fingerprint.labels))
        union = fingerprint.unions.get(union_key(occurring))
        if union is not None:
            yield DropSmall(labels=occurring, below_ml=rounded_down(union.smallest_ml))
        elif len(occurring) == 1:
            yield DropSmall(labels=occurring, below_ml=rounded_down(fingerprint.labels[str(occurring[0])].smallest_ml))


def rounded_up(measure: float) -> float:
    """Round to two significant digits, never below `measure`."""
    return float(Context(prec=2, rounding=ROUND_CEILING).create_decimal(repr(measure)))


def rounded_down(measure: float) -> float:
    """Round to two significant digits, never above `measure`."""
    return float(Context(prec=2, rounding=ROUND_FLOOR).create_decimal(repr(measure)))


RISE = 1e-9  # Dice that counts as more, or as less, than before
BYTES_PER_VOXEL = 16  # reference and prediction, each with its reader's copy, and the components of the prediction
WORTH_A_PROCESS = 2**28  # voxels of all cases below which further processes cost more than they save


class _CaseDice(NamedTuple):
    """The Dice of one case. before: (classes,) Dice, nan where neither has the class. after: (candidates, classes)."""

    before: np.ndarray
    after: np.ndarray
    taken: list[frozenset[int]]
    """The label values of the components that each candidate removes."""


def choose_rules(
    cases: Sequence[Pair], labels: Labels, candidates: Sequence[Rule], workers: int | None = None,
    progress: ShowProgress | None = None,
) -> list[TriedRule]:
    """Return the candidates that were accepted, in the order in which they are to be applied, then those that were not.

    A candidate is accepted where the mean Dice over the classes rises and no class's falls; a class's Dice is its mean over the
    cases in which reference or prediction holds it (as nnU-Net counts). The best one is taken first, of equal ones the first;
    then the others are tried on top of it, until none helps. The Dice of a rejected one is measured after all that were accepted.

    cases: validation predictions of all folds. workers: the highest number of processes. progress: called with the share of a
    round and a word. Raises AutosegError where there is no case, or one cannot be read.
    """
    if not cases:
        raise AutosegError("There is no validation prediction that rules could be tried on.")
    names, regions = label_names(labels), region_names(labels)
    accepted: list[TriedRule] = []
    waiting, stale = list(candidates), list(cases)
    dice: dict[str, _CaseDice] = {}
    while waiting:
        rules = [tried.rule for tried in accepted]
        dice.update(_try_all(stale, labels, rules, waiting, workers, progress))
        tried = _tried(dice, waiting, labels, lambda rule: describe(rule, names, regions))
        best = max(range(len(tried)), key=lambda which: (tried[which].accepted, round(tried[which].dice_after, 9), -which))
        if not tried[best].accepted:
            return accepted + tried
        accepted.append(tried[best])
        rule = waiting.pop(best)
        stale = [pair for pair in cases if _acts(rule, best, dice[pair.case])]
        dice = {case: _without(best, of_case) for case, of_case in dice.items() if not _acts(rule, best, of_case)}
    return accepted


def _acts(rule: Rule, candidate: int, of_case: _CaseDice) -> bool:
    """Tell whether a rule takes anything from a case, or could after another candidate took something that it looks at."""
    return bool(of_case.taken[candidate]) or any(taken & looked_at(rule) for taken in of_case.taken)


def _without(candidate: int, of_case: _CaseDice) -> _CaseDice:
    """Return the Dice of the candidates that still wait; right only where the one that was accepted does not act."""
    taken = [values for which, values in enumerate(of_case.taken) if which != candidate]
    return _CaseDice(of_case.before, np.delete(of_case.after, candidate, axis=0), taken)


def _try_all(
    cases: Sequence[Pair], labels: Labels, accepted: Sequence[Rule], candidates: Sequence[Rule], workers: int | None,
    progress: ShowProgress | None,
) -> dict[str, _CaseDice]:
    voxels = [image_io.number_of_voxels(pair.reference) for pair in cases]
    processes = workers if sum(voxels) > WORTH_A_PROCESS else 1
    attempt = functools.partial(_try_case, labels=labels, accepted=accepted, candidates=candidates)
    found: dict[str, _CaseDice] = {}
    outcomes = run_parallel(attempt, cases, BYTES_PER_VOXEL * max(voxels, default=0), processes)
    for done, outcome in enumerate(outcomes, 1):
        if outcome.error is not None:
            raise outcome.error
        found[outcome.item.case] = outcome.value
        if progress is not None:
            progress(done / len(cases), f"{len(candidates)} rules on {outcome.item}")
    return found


def _tried(
    dice: Mapping[str, _CaseDice], candidates: Sequence[Rule], labels: Labels, say: Callable[[Rule], str]
) -> list[TriedRule]:
    """Return each candidate as a tried rule; `accepted` where it helps."""
    keys = list(class_keys(labels))
    cases = [dice[case] for case in sorted(dice)]
    all_before = np.stack([of_case.before for of_case in cases])
    before = _class_means(all_before)
    tried = []
    for which, rule in enumerate(candidates):
        all_after = np.stack([of_case.after[which] for of_case in cases])
        after = _class_means(all_after)
        better, worse = _changed_cases(all_before, all_after)
        mean_before, mean_after = mean_without_nan(before), mean_without_nan(after)
        falls = any(new < old - RISE for old, new in zip(before, after, strict=True))  # never where one is nan
        tried.append(TriedRule(
            rule=rule, says=say(rule), accepted=mean_after > mean_before + RISE and not falls,
            dice_before=mean_before, dice_after=mean_after,
            classes_before=_by_key(keys, before), classes_after=_by_key(keys, after), better=better, worse=worse,
            p_value=_sign_test(better, worse)))
    return tried


def _changed_cases(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """Return how many cases rise and fall in the mean over their classes. before, after: (cases, classes) Dice.

    A class that neither side has counts as 1: a false component that goes makes a case better.
    """
    change = (np.nan_to_num(after, nan=1.0) - np.nan_to_num(before, nan=1.0)).mean(axis=1)
    return int((change > RISE).sum()), int((change < -RISE).sum())


def _sign_test(better: int, worse: int) -> float:
    """Return how likely at least so many cases rise where rising and falling are equally likely; 1 where none changes."""
    from scipy.stats import binomtest

    return float(binomtest(better, better + worse, alternative="greater").pvalue) if better + worse else 1.0


def _class_means(dice: np.ndarray) -> list[float]:
    """Return each class's mean over the cases. dice: (cases, classes)."""
    return [mean_without_nan(of_class.tolist()) for of_class in dice.T]


def _by_key(keys: Sequence[str], dice: Sequence[float]) -> dict[str, float | None]:
    return {key: None if np.isnan(value) else value for key, value in zip(keys, dice, strict=True)}


def _try_case(pair: Pair, labels: Labels, accepted: Sequence[Rule], candidates: Sequence[Rule]) -> _CaseDice:
    """Try the candidates. The prediction is labelled once: rules take away whole components, so counts per component suffice."""
    reference, prediction = read_pair(pair)
    graph = component_graph(prediction.array[0], prediction.geometry.spacing_mm)
    overlap = _Overlap(graph, reference.array[0], labels)
    del prediction
    left = surviving(graph, accepted)
    after = [settle(graph, [*accepted, candidate], left) for candidate in candidates]
    return _CaseDice(
        overlap.dice(left), np.stack([overlap.dice(present) for present in after]),
        [frozenset(np.unique(graph.values[left & ~present]).tolist()) for present in after])


class _Overlap:
    """The voxels that each component of a prediction shares with each class of its reference.

    One entry per component, value of the reference and class that the component belongs to; ignored voxels in none.
    """

    def __init__(self, graph: ComponentGraph, reference: np.ndarray, labels: Labels) -> None:
        classes = list(class_keys(labels).values())
        in_reference = count_values(reference)
        self._n_ref = np.array([sum(in_reference.get(value, 0) for value in values) for values in classes], float)
        of_value = {value: [k for k, values in enumerate(classes) if value in values] for value in np.unique(graph.values)}
        entries = [
            (component, which, voxels, voxels * (value in classes[which]))
            for (component, value), voxels in _joint_counts(graph, reference).items()
            if value != labels.ignore for which in of_value[graph.values[component]]
        ]
        self._component, self._class, self._n_pred, self._tp = np.array(entries, np.int64).reshape(-1, 4).T

    def dice(self, present: np.ndarray) -> np.ndarray:
        """Return (classes,): 2·TP / (2·TP + FP + FN) with the components that are `present`; nan where both are empty."""
        is_there, number = present[self._component], len(self._n_ref)
        n_pred = np.bincount(self._class, self._n_pred * is_there, number)
        tp = np.bincount(self._class, self._tp * is_there, number)
        both = n_pred + self._n_ref
        return np.divide(2 * tp, both, out=np.full(number, np.nan), where=both > 0)


def _joint_counts(graph: ComponentGraph, reference: np.ndarray) -> Counter[tuple[int, int]]:
    """Count the voxels of each (component, value of the reference), without the background's component."""
    inner = reference[graph.box]
    counts: Counter[tuple[int, int]] = Counter()
    for part in slabs(inner.shape):
        predicted = graph.components[part] != 0
        counts.update(count_pairs(graph.components[part][predicted], inner[part][predicted]))
    return counts
