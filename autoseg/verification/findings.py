"""Findings: what is wrong with a dataset, in words, and the paragraphs that show it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, RootModel

from autoseg.errors import many
from autoseg.workspace import read_model

Severity = Literal["error", "warning"]
Code = Literal[
    # of one case's files
    "missing_file", "unreadable", "lost", "grid", "channels", "same_channel", "not_finite", "extreme", "one_value",
    "label_values", "label_names", "empty_label", "cropped_away",
    # between cases, and of the dataset's folder
    "no_label", "duplicate", "contradiction", "in_test", "same_name", "patients", "stray_files", "case_count",
    "label_gaps", "label_range", "absent_class", "all_empty", "two_names", "ignore_name",
    "axis_orders", "no_direction",
    # of what a task cannot use
    "dimensions", "colour", "outside", "cut_off", "targets",
]
LEAVE_OUT = "or leave the case out with --skip-bad-cases"


class Finding(BaseModel, frozen=True, extra="forbid"):
    """A single fault of a dataset.

    case: its name, or empty where the finding is about the whole dataset. file: as the user has it. severity: "error" where the
    case cannot be used as it is, "warning" where it can, and somebody should look. code: the kind of fault, for programs;
    problem, remedy: the same for the user, in words.
    """

    case: str
    file: str
    severity: Severity
    code: Code
    problem: str
    remedy: str

    def __str__(self) -> str:
        where = f"case {self.case}: " if self.case else ""
        return f"{where}{self.problem} ({self.file}). {self.remedy}"


class _Findings(RootModel[list[Finding]]):
    """The content of findings.json."""

    remedy: ClassVar[str] = "To make it anew: autoseg_plan_and_preprocess {dataset}"


def read_findings(path: Path) -> list[Finding]:
    """Return the findings that planning wrote to findings.json. Raises AutosegError where the file is missing or damaged."""
    return read_model(path, _Findings).root


def in_paragraphs(findings: Sequence[Finding]) -> list[str]:
    """Return a paragraph for each finding, errors first, below a first line with their numbers; they read well at any width.

    Cases with the same problem share a paragraph, which names them all.
    """
    together: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.severity != "error"):
        key = (finding.severity, _for_any_case(finding, finding.problem), _for_any_case(finding, finding.remedy))
        together.setdefault(key, []).append(finding)
    bad = len({finding.case for finding in findings if finding.severity == "error"})
    said = [f"{many(len(findings), 'finding')}, {many(bad, 'case')} with errors:" if findings else "Nothing is wrong."]
    for (severity, problem, remedy), same in together.items():
        if len({(finding.problem, finding.remedy) for finding in same}) == 1:
            problem, remedy = same[0].problem, same[0].remedy
        cases = list(dict.fromkeys(finding.case for finding in same if finding.case))
        names = f"case {cases[0]}" if len(cases) == 1 else f"{len(cases)} cases ({', '.join(cases)})" if cases else "the dataset"
        files = _files(same)
        place = [] if files in problem + remedy else [f"  In: {files}"]
        said.append("\n".join([f"{severity.capitalize()}, {names}: {problem.rstrip('.')}.", *place, f"  To do: {remedy}"]))
    return said


def _for_any_case(finding: Finding, text: str) -> str:
    """Return the text with FILE for the finding's file and CASE for the name of its case, which may be a part of another name."""
    text = text.replace(finding.file, "FILE") if finding.file else text
    if not finding.case or finding.case.isdigit():
        return text
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(finding.case)}(?![A-Za-z0-9])", "CASE", text)


def _files(findings: Sequence[Finding]) -> str:
    """Return the file, or where there are several, the folders that hold them."""
    files = list(dict.fromkeys(finding.file for finding in findings))
    if len(files) == 1:
        return files[0]
    folders = sorted({os.path.dirname(file) for file in files})
    return f"{len(files)} files in {', '.join(folders)}"
