"""The model card: README.md of an exported model, with the head in YAML that the Hugging Face model hub reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoseg.task import TaskInfo

Table = Sequence[Sequence[str]]  # rows of cells, the heads of the columns first


@dataclass(frozen=True)
class CardModel:
    """A model of the card. name: such as "3d_fullres, default". facts: what it is, by what each is called. results: of its
    cross-validation, as a table; empty where there are none. failings: what it does not do at all, in sentences."""

    name: str
    facts: Mapping[str, str]
    results: Table = ()
    failings: Sequence[str] = ()


@dataclass(frozen=True)
class Card:
    """A card. dataset: what the models were trained on. archive: name of the file. pipeline_tag: the hub's word for what they do,
    if it has one. license: as the hub calls it, None where the user did not say. postprocessing, way: in words, of what find-best
    chose: what is done to outputs, and how they are made."""

    info: TaskInfo
    dataset: str
    archive: str
    models: Sequence[CardModel]
    pipeline_tag: str | None = None
    license: str | None = None
    postprocessing: Sequence[str] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    way: str = ""

    @property
    def text(self) -> str:
        """Return the card, in Markdown."""
        lines = [*self._head(), "", f"# {_plain(self.dataset)}", "", self._what_it_is(), "", *self._use()]
        for model in self.models:
            facts = [("", ""), *((name, value) for name, value in model.facts.items())]
            lines += ["", f"## {_plain(model.name)}", "", *_table(facts)]
            if model.results:
                lines += ["", "Cross-validation (each case by the fold that was not trained on it):", "", *_table(model.results)]
            lines += [line for failing in model.failings for line in ("", f"**{_plain(failing)}.**")]
        if self.postprocessing:
            lines += ["", "## Post-processing", "", "Learned from the cross-validation, and applied by `autoseg_predict`:", "",
                      *(f"- {_plain(text)}" for text in self.postprocessing)]
        if self.way:
            lines += ["", "## How it predicts", "",
                      f"Chosen on the cross-validation: {_plain(self.way)}. With `--accurate` it predicts in full."]
        made = ", ".join(f"{_plain(name)} {_plain(version)}" for name, version in self.versions.items())
        lines += ["", "## Limits", "", "The numbers hold for images like those of the training. On other scanners, patients or "
                  "protocols they may be worse: look at the results before you rely on them. This is no medical device.",
                  *(["", f"Trained with: {made}."] if made else [])]
        return "\n".join(lines) + "\n"

    def _head(self) -> list[str]:
        noun = self.info.noun.replace(" ", "-")
        return ["---", "library_name: autoseg", *([f"license: {json.dumps(self.license)}"] if self.license else []),
                *([f"pipeline_tag: {self.pipeline_tag}"] if self.pipeline_tag else []),
                "tags:", *(f"- {tag}" for tag in ("autoseg", "medical", "medical-imaging", noun)), "---"]

    def _what_it_is(self) -> str:
        several = f"{len(self.models)} {self.info.plural}" if len(self.models) > 1 else self.info.a_model_first
        return (f"{several}, made with autoseg from the dataset {_plain(self.dataset)}: "
                f"{self.info.does.replace('s ', ' ', 1) if len(self.models) > 1 else 'it ' + self.info.does}. Weights are "
                "safetensors, the rest is JSON; no file holds code.")

    def _use(self) -> list[str]:
        return ["## Use", "", "```", f"autoseg_predict -i IMAGES -o {self.info.outputs} -m {self.archive}", "```", "",
                "`IMAGES` is a folder of images, or one image. To keep the model in a workspace, and name it like those that "
                f"were trained there: `autoseg import {self.archive}`."]


def _table(rows: Table) -> list[str]:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(map(_plain, row))} |" for row in rows]
    return [lines[0], f"|{'---|' * len(rows[0])}", *lines[1:]]


def _plain(text: str) -> str:
    """Return a text that Markdown and its tables show as it is, in one line."""
    marked = "".join(f"\\{letter}" if letter in "\\`*[]<>|#" else letter for letter in text)
    return " ".join(marked.split())
