"""How long it took, and which versions made it."""

from __future__ import annotations

from autoseg.evaluation.report.artefacts import Artefacts
from autoseg.evaluation.report.elements import Block, Folded, Section, Table, Text
from autoseg.evaluation.report.words import counted, duration, moment
from autoseg.training_log import Epoch
from autoseg.versions import versions


def times_section(found: Artefacts) -> Section:
    """Training time of each model, and the steps of `autoseg run`."""
    section = Section("times", "Times")
    if rows := _training_rows(found):
        total = sum(epoch.seconds for logs in _logs(found).values() for log in logs for epoch in log)
        section.blocks += [Text(f"Training took {duration(total)} in all."),
                           Table("Training", ("model", "folds begun", "epochs", "time", "an epoch", "last finished"), rows)]
    if found.plans is not None and found.run is not None and found.run.steps:  # the run segments
        whole = set(found.run.whole)
        steps = [[step, duration(seconds), "finished" if step in whole else "not finished"]
                 for step, seconds in found.run.steps.items()]
        section.blocks += [Text(f"autoseg run took {duration(sum(found.run.steps.values()))} in all, every run of it together."),
                           Folded("Each step of autoseg run", [Table("Steps of autoseg run", ("step", "time", ""), steps,
                                                                     frozenset({2}))])]
    if not section.blocks:
        section.blocks.append(Text("Nothing has been timed yet.", is_note=True))
    return section


def _logs(found: Artefacts) -> dict[str, list[list[Epoch]]]:
    """Of the folds that were begun, by the name of their model."""
    logs = {model.name: [fold.log for fold in model.folds if fold.log] for model in found.models}
    return logs | {model.name: [fold.log for fold in model.folds if fold.log]
                   for models in found.apart.values() for model in models}


def _training_rows(found: Artefacts) -> list[list[str]]:
    rows = []
    for name, logs in _logs(found).items():
        epochs = [epoch for log in logs for epoch in log]
        if epochs:
            seconds = sum(epoch.seconds for epoch in epochs)
            last = moment(max(epoch.finished_at for epoch in epochs))
            rows.append([name, str(len(logs)), str(len(epochs)), duration(seconds), duration(seconds / len(epochs)), last])
    return rows


def versions_section(found: Artefacts) -> Section:
    """Package versions of each stage, in columns."""
    stages = {"planned": found.plans.versions} if found.plans else {}
    if found.anomaly is not None:
        stages["planned as slices"] = found.anomaly.plans.versions
    if found.location is not None:
        stages["planned as projections"] = found.location.plans.versions
    for model in found.models:
        if isinstance(recorded := model.description.get("versions"), dict):
            stages[f"trained {model.name}"] = {str(package): str(version) for package, version in recorded.items()}
    stages |= {f"trained {model.name}": model.description.versions
               for models in found.apart.values() for model in models if model.description}
    if found.best is not None:
        stages["chosen"] = found.best.versions
    stages["this page"] = versions()
    packages = list(dict.fromkeys(package for recorded in stages.values() for package in recorded))
    same = [package for package in packages if len({recorded.get(package) for recorded in stages.values()}) == 1]
    blocks: list[Block] = []
    if len(same) == len(packages):
        blocks.append(Text(f"All {len(stages)} stages ran with the same versions."))
        stages = {"version": next(iter(stages.values()))}
    else:
        blocks.append(Text(f"{counted(len(packages) - len(same), 'package')} changed between the stages."))
    rows = [[package, *(recorded.get(package, "–") for recorded in stages.values())] for package in packages]
    changed = frozenset(i for i, package in enumerate(packages) if package not in same)
    blocks.append(Table("Versions", ("package", *stages), rows, frozenset(range(1, len(stages) + 1)), changed))
    return Section("versions", "Versions", blocks)
