"""The page `report.html`: a person opens it first, and it holds everything it needs: no network, no script."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from autoseg.reporting.artefacts import AnyModel, DatasetArtefacts
from autoseg.reporting.blocks import Block, Command, Explained, Explanations, Folded, Section, Table, Text
from autoseg.reporting.data import data_section
from autoseg.reporting.parts import TaskReport
from autoseg.versions import versions
from autoseg.wording import MISSING, counted, duration, listed, moment


def times_section(parts: Sequence[TaskReport]) -> Section:
    """Show the training time of each model, and the steps of `autoseg run` for each task."""
    section = Section("times", "Times")
    begun = [model for part in parts for model in part.models if model.begun]
    if begun:
        total = sum(epoch.seconds for model in begun for fold in model.folds for epoch in fold.log)
        columns = ("model", "folds begun", "epochs", "time", "an epoch", "last finished")
        section.blocks += [Text(f"Training took {duration(total)} in all."),
                           Table("Training", columns, [_training_row(model) for model in begun])]
    if runs := [part.run for part in parts if part.run is not None and part.run.steps]:
        steps = [[step, duration(seconds), "finished" if step in run.whole else "not finished"]
                 for run in runs for step, seconds in run.steps.items()]
        spent_s = sum(run.spent_s for run in runs)
        section.blocks += [Text(f"autoseg run took {duration(spent_s)} in all, every run of it together."),
                           Folded("Each step of autoseg run", [Table("Steps of autoseg run", ("step", "time", ""), steps,
                                                                     frozenset({2}))])]
    if not section.blocks:
        section.blocks.append(Text("Nothing has been timed yet.", is_note=True))
    return section


def _training_row(model: AnyModel) -> list[str]:
    epochs = [epoch for fold in model.begun for epoch in fold.log]
    seconds = sum(epoch.seconds for epoch in epochs)
    last = moment(max(epoch.finished_at for epoch in epochs))
    return [model.name, str(len(model.begun)), str(len(epochs)), duration(seconds), duration(seconds / len(epochs)), last]


def versions_section(parts: Sequence[TaskReport]) -> Section:
    """Show the package versions of each stage, in columns; in one column where they are all the same."""
    stages = {stage: recorded for part in parts for stage, recorded in part.versions.items()}
    described = [(model.name, model.description) for part in parts for model in part.models if model.description is not None]
    stages |= {f"trained {name}": description.versions for name, description in described if description.versions}
    stages["this page"] = versions()
    packages = list(dict.fromkeys(package for recorded in stages.values() for package in recorded))
    same = [package for package in packages if len({recorded.get(package) for recorded in stages.values()}) == 1]
    blocks: list[Block] = []
    if len(same) == len(packages):
        blocks.append(Text(f"All {len(stages)} stages ran with the same versions."))
        stages = {"version": next(iter(stages.values()))}
    else:
        blocks.append(Text(f"{counted(len(packages) - len(same), 'package')} changed between the stages."))
    rows = [[package, *(recorded.get(package, MISSING) for recorded in stages.values())] for package in packages]
    changed = frozenset(i for i, package in enumerate(packages) if package not in same)
    blocks.append(Table("Versions", ("package", *stages), rows, frozenset(range(1, len(stages) + 1)), changed))
    return Section("versions", "Versions", blocks)


def build_page(found: DatasetArtefacts, parts: Sequence[TaskReport]) -> str:
    """Return the HTML page about a dataset: an overview, what its tasks contribute, then its data, times and versions."""
    sections = [section for part in parts for section in part.sections]
    sections.append(data_section(found, any(part.needs_fingerprint for part in parts)))
    sections += [times_section(parts), versions_section(parts)]
    template = files("autoseg.reporting").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return environment.from_string(template).render(
        title=found.name, made_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"), overview=overview(found, parts),
        sections=sections)


def overview(found: DatasetArtefacts, parts: Sequence[TaskReport]) -> list[Block]:
    """Return the results of every task, the commands that use them, and what is missing or damaged."""
    blocks: list[Block] = [Explanations([_data(found), *(entry for part in parts for entry in part.overview)])]
    for purpose, line in (command for part in parts for command in part.commands):
        blocks += [Text(f"{purpose}, type:"), Command(line)]
    steps = [step for part in parts for step in part.missing]
    if steps:
        blocks.append(Text("Not everything is there yet. What is missing, and the command that makes it:", is_note=True))
    for step in steps:
        blocks += [Text(f"{step.missing}:"), Command(step.line)]
    troubles = [*found.troubles, *(trouble for part in parts for trouble in part.troubles)]
    return [*blocks, *(Text(trouble, is_note=True) for trouble in dict.fromkeys(troubles))]


def _data(found: DatasetArtefacts) -> Explained:
    if found.dataset is None:
        return Explained("Dataset", found.name)
    names = list(found.dataset.labels.foreground)
    classes = f", {counted(len(names), 'class', 'classes')}" if names else ""
    return Explained("Data", f"{counted(len(found.dataset.training), 'training case')}{classes}", listed(names, 8))
