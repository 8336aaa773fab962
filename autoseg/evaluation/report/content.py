"""The page's sections, in their order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from autoseg.evaluation.report.anomaly import anomaly_section
from autoseg.evaluation.report.artefacts import Artefacts
from autoseg.evaluation.report.choice import choice_section
from autoseg.evaluation.report.closing import times_section, versions_section
from autoseg.evaluation.report.data import data_section
from autoseg.evaluation.report.elements import Block, Section
from autoseg.evaluation.report.glance import at_a_glance
from autoseg.evaluation.report.location import location_section
from autoseg.evaluation.report.planning import plan_section
from autoseg.evaluation.report.results import results_section
from autoseg.evaluation.report.training import training_section
from autoseg.evaluation.report.worst import worst_section


@dataclass(frozen=True)
class Page:
    """title: the dataset's name. made_at: local time. glance: before the table of contents."""

    title: str
    made_at: str
    glance: list[Block]
    sections: list[Section]


def page(found: Artefacts) -> Page:
    """Everything that is known of a dataset, the result first."""
    sections: list[Section] = []
    if found.plans is not None:
        sections += [results_section(found), worst_section(found), choice_section(found), training_section(found)]
    if found.anomaly is not None:
        sections.append(anomaly_section(found, found.anomaly))
    if found.location is not None:
        sections.append(location_section(found, found.location))
    sections.append(data_section(found))
    if found.plans is not None:
        sections.append(plan_section(found.plans))
    sections += [times_section(found), versions_section(found)]
    return Page(found.name, datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"), at_a_glance(found), sections)
