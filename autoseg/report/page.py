"""The page `report.html`: a person opens it first, and it holds everything it needs: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from autoseg.report.artefacts import DatasetArtefacts
from autoseg.report.data import data_section
from autoseg.report.environment import times_section, versions_section
from autoseg.report.overview import overview
from autoseg.report.parts import TaskReport


def build_page(found: DatasetArtefacts, parts: Sequence[TaskReport]) -> str:
    """Return the HTML page about a dataset: what its tasks contribute, then its data, times and versions."""
    sections = [section for part in parts for section in part.sections]
    sections.append(data_section(found, any(part.needs_fingerprint for part in parts)))
    sections += [times_section(parts, found.run), versions_section(parts)]
    template = files("autoseg.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(template).render(
        title=found.name, made_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"), overview=overview(found, parts),
        sections=sections)
