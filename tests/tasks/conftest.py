"""Reports as tests read them."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from autoseg.api.reporting import build_report
from autoseg.workspace import DatasetFolder

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a page holds: opening tags with their attributes, its text without that of figures, what of the text is folded away,
    and the text alternatives of figures and pictures. html: as it was written."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.text, self.folded = html, "", ""
        self.tags: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.text += " "
        self.tags.append((tag, {key: value or "" for key, value in attributes}))
        if tag == "img":
            assert (dict(attributes)["src"] or "").startswith("data:image/png;base64,")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "style" not in self._open and "svg" not in self._open:
            self.text += data
            self.folded += data if "details" in self._open else ""

    def all(self, *names: str) -> list[dict[str, str]]:
        """The attributes of all elements of these names."""
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def alternatives(self) -> list[str]:
        return [attributes.get("alt") or attributes.get("aria-label") or "" for attributes in self.all("img", "svg")]


@pytest.fixture(scope="session")
def page_of() -> Callable[[DatasetFolder], Page]:
    """The report on a dataset."""
    return lambda folder: Page(build_report(folder))
