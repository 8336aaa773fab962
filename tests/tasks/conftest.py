"""Reports as tests read them."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from autoseg.api.reporting import build_report
from autoseg.workspace import DatasetFolder


class Page(HTMLParser):
    """The text of a page without its figures, and the text alternatives of these."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.alternatives, self.hidden = "", [""], 0
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.hidden += tag in ("svg", "style")
        given = dict(attributes)
        if tag in ("img", "svg"):
            self.alternatives.append(given.get("alt") or given.get("aria-label") or "")
        if tag == "img":
            assert (given["src"] or "").startswith("data:image/png;base64,")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("svg", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self.hidden else data


@pytest.fixture
def page_of() -> Callable[[DatasetFolder], Page]:
    """The report on a dataset."""
    return lambda folder: Page(build_report(folder))
