"""`report.html`: one page that a person opens first. It holds everything it needs: no network, no script."""

from __future__ import annotations

from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from autoseg.evaluation.report.artefacts import read_artefacts
from autoseg.evaluation.report.content import page
from autoseg.workspace import DatasetFolder


def build_report(folder: DatasetFolder) -> str:
    """The HTML page about all that lies in the dataset's folder; what is missing is named, with the command that makes it.

    Raises AutosegError where the dataset has not been planned. Memory: a few volumes of one case.
    """
    template = files("autoseg.evaluation.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(template).render(page=page(read_artefacts(folder)))
