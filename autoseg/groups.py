"""Groups of cases that are scans of one patient: as dataset.json says, or as their names do."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

MOST_SCANS = 12  # more cases than this under one name are usually a running number, not one patient
MANY_STEMS = 5  # with so many names they are patients after all: slices of volumes
SHOWN_PATIENTS, SHOWN_CASES, WRITTEN_PATIENTS = 3, 4, 50

# sub-01_ses-2_run-1_T1w: subject, then entities, then words
BIDS = re.compile(r"(?P<stem>(?:.*?[_-])?sub-[A-Za-z0-9]+)(?:_[A-Za-z]+-[A-Za-z0-9]+)*(?:_[A-Za-z]\w*)?")
MARKERS = {
    "visit or scan number":
        r"(?:ses(?:sion)?|scan|visit|exam|tp|time(?:point)?|fu|follow-?up|day|week|month|year)[_-]?\d{1,4}|t\d\d?",
    "slice or frame number": r"(?:slice|slc|frame)[_-]?\d{1,4}",
    "side": r"left|right|lt|rt|lh|rh|l|r",
    "point in time": r"baseline|bl|follow-?up|fu|pre|post|pre-?op|post-?op|before|after|ed|es",
}
ENDINGS = {kind: re.compile(rf"(?P<stem>.+)[_. -](?:{words})", re.IGNORECASE) for kind, words in MARKERS.items()}
NUMBERED, SLICES = ("visit or scan number", "slice or frame number"), "slice or frame number"
# pat012_1, 001-b, OAS1_0001_MR2, pat01_20190523; 001b
SHORT_ENDING = re.compile(
    r"(?P<stem>.*\d.*?)[_. -](?P<end>[a-z]{0,2}\d{1,3}|[a-z]|(?:19|20)\d{6})|(?P<number>.*\d)(?P<letter>[a-z])", re.IGNORECASE)

Together = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Patients:
    """The patients. together: patient to cases, of patients with several cases; every other case is a patient of its own.

    suspected: patients that names suggest but do not prove; nothing is grouped by them. patterns: of the names that `together`
    was read from; empty where dataset.json says it.
    """

    together: Together
    suspected: Together
    patterns: tuple[str, ...] = ()

    def groups(self, cases: Iterable[str]) -> list[list[str]]:
        """Return all `cases`, those of one patient in one list; sorted."""
        several = {case: patient for patient, members in self.together.items() for case in members}
        found: dict[tuple[str, bool], list[str]] = defaultdict(list)
        for case in sorted(cases):
            found[several.get(case, case), case in several].append(case)
        return sorted(found.values())


def patients_of(cases: Sequence[str], declared: Mapping[str, str]) -> Patients:
    """Return the patients of the cases. declared: `groups` of dataset.json, case to group; it may name other cases, too.

    Where `groups` is given, it alone counts: cases that it does not name are patients of their own, and are suspected where their
    names say something else. Else only names that can hardly mean anything else count (BIDS subjects; a common beginning and a
    visit, a side or a point in time at the end).
    """
    by_name = _patients_in_names(cases)
    if not declared:
        return by_name
    found: dict[str, list[str]] = defaultdict(list)
    for case in sorted(set(cases) & declared.keys()):
        found[declared[case]].append(case)
    unnamed = {
        patient: members for patient, members in {**by_name.together, **by_name.suspected}.items()
        if any(case not in declared for case in members)
    }
    return Patients(_several(found), unnamed)


def suspicion(suspected: Together) -> tuple[str, str]:
    """Return a suspicion as (problem, remedy) in words, with the `groups` entry to write. suspected: not empty."""
    cases = sum(map(len, suspected.values()))
    entry = ", ".join(
        f"{json.dumps(patient, ensure_ascii=False)}: {json.dumps(members, ensure_ascii=False)}"
        for patient, members in list(suspected.items())[:WRITTEN_PATIENTS])
    more = ", ..." if len(suspected) > WRITTEN_PATIENTS else ""
    return (
        f"the names of {cases} cases look like several scans of one patient each ({listed_patients(suspected)})",
        f'If they are, write "groups": {{{entry}{more}}} into dataset.json and plan again, so that no patient is both trained '
        "and validated on: that would make the cross-validation look better than it is. If each case is a patient of its "
        "own, ignore this.",
    )


def listed_patients(together: Together) -> str:
    """Return in words the first few patients with their cases, and how many there are."""
    shown = [f"{patient}: {', '.join(members[:SHOWN_CASES])}{', ...' if len(members) > SHOWN_CASES else ''}"
             for patient, members in list(together.items())[:SHOWN_PATIENTS]]
    more = f"; ... {len(together)} patients in all" if len(together) > SHOWN_PATIENTS else ""
    return "; ".join(shown) + more


def _patients_in_names(cases: Sequence[str]) -> Patients:
    kinds: dict[str, frozenset[str]] = {}
    stems: dict[str, list[str]] = defaultdict(list)
    for case in sorted(cases):
        stem, kinds[case] = _stem(case)
        stems[stem].append(case)
    together, too_many = {}, {}
    for stem, members in _several(stems).items():
        found = frozenset().union(*(kinds[case] for case in members))
        if _is_patient(stem, len(members), found, len(cases)):
            together[stem] = members
        elif re.search(r"\d", stem) and len(members) < len(cases):
            too_many[stem] = members
    suspected = too_many if len(too_many) > 1 else {}
    grouped = {case for members in together.values() for case in members}
    patterns = sorted({kind for case in grouped for kind in kinds[case]})
    looked_at = grouped | {case for members in suspected.values() for case in members}
    return Patients(together, suspected | _short_endings([case for case in cases if case not in looked_at]), tuple(patterns))


def _stem(case: str) -> tuple[str, frozenset[str]]:
    """Return a name without all that distinguishes scans of one patient, and the kinds of what was taken off."""
    if match := BIDS.fullmatch(case):
        return match["stem"], frozenset({"BIDS subject"})
    kinds = set()
    while found := next(((kind, match) for kind, ending in ENDINGS.items() if (match := ending.fullmatch(case))), None):
        kinds.add(found[0])
        case = found[1]["stem"]
    return case, frozenset(kinds)


def _is_patient(stem: str, members: int, kinds: frozenset[str], cases: int) -> bool:
    """Tell whether the cases of a stem are scans of one patient, not a running number (scan1, scan2, ... of everybody)."""
    numbered = kinds.intersection(NUMBERED)
    if not numbered:
        return True
    if members == cases:
        return False
    if re.search(r"\d", stem):
        return members <= MOST_SCANS or numbered == {SLICES}
    return members <= min(MOST_SCANS, cases // 2)


def _short_endings(cases: Iterable[str]) -> Together:
    """Return stems that several cases share up to a short number or letter that looks like a scan's, not like a running number.

    Scans are counted anew in each patient, and there are several patients with several scans.
    """
    stems: dict[str, list[str]] = defaultdict(list)
    ends: dict[str, set[str]] = defaultdict(set)
    names = set(cases)
    for case in sorted(names):
        if match := SHORT_ENDING.fullmatch(case):
            stem, end = match["stem"] or match["number"], match["end"] or match["letter"]
            stems[stem].append(case)
            ends[stem].add(end.lower())
    for stem in stems.keys() & names:
        stems[stem].insert(0, stem)
    several = _several(stems)
    if len(several) < 2 or (len(several) < MANY_STEMS and median(map(len, several.values())) > MOST_SCANS):
        return {}
    counted = Counter(end for stem in several for end in ends[stem])
    are_dates = all(len(end) == 8 for end in counted)
    return several if are_dates or max(counted.values()) > 1 else {}


def _several(found: Mapping[str, Sequence[str]]) -> Together:
    return {patient: tuple(members) for patient, members in sorted(found.items()) if len(members) > 1}
