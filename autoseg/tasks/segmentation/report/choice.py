"""Section of the report about find-best's choice: the models, the post-processing with what each rule gained, how to predict."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.best import Best, TriedRule
from autoseg.commands import command_line
from autoseg.reporting.blocks import Block, Command, Folded, Heading, Section, Table, Text
from autoseg.reporting.choice import choice_blocks
from autoseg.tasks.segmentation.report.artefacts import SegmentationArtefacts
from autoseg.tasks.segmentation.report.ways import ways_blocks
from autoseg.wording import counted, fixed, number, shortened, signed

MARGIN = 5e-5  # a change of Dice that four decimals do not show


def choice_section(found: SegmentationArtefacts) -> Section:
    """Show the choice between models and ensembles, and the post-processing."""
    section = Section("choice", "What was chosen")
    if found.best is None:
        section.blocks += [
            Text("No choice has been made yet. When the folds of a model are complete, this compares the models and pairs of "
                 "them, and tries the post-processing:", is_note=True),
            Command(command_line(found.folder, "autoseg find-best"))]
        return section
    section.blocks += [
        *choice_blocks(found.best), Heading("Post-processing"), *_rules(found.best),
        Heading("How to predict"), *ways_blocks(found.best.ways, command_line(found.folder, "autoseg find-best"))]
    return section


def _rules(best: Best) -> list[Block]:
    accepted = [tried for tried in best.rules if tried.accepted]
    refused = [tried for tried in best.rules if not tried.accepted]
    if not best.rules:
        return [Text("The training labels suggest no rule that could be tried, so predictions stay as they are.")]
    outcome = "none raised the mean Dice without lowering a class, so predictions stay as they are"
    if accepted:
        outcome = (f"{len(accepted)} raised the mean Dice without lowering a class and "
                   f"{'is' if len(accepted) == 1 else 'are'} applied to every prediction")
    if weak := sum(tried.is_weak for tried in accepted):
        outcome += (f". The evidence for {'it' if len(accepted) == 1 else f'{weak} of them'} is weak: so few cases become better "
                    "that it may be chance (see p below)")
    blocks: list[Block] = [Text(
        f"{counted(len(best.rules), 'rule')} that the training labels suggest {'was' if len(best.rules) == 1 else 'were'} tried "
        f"on the validation predictions: {outcome}.")]
    if accepted:
        blocks.append(_rule_table("Rules that are applied, in order", accepted, best.names))
    if refused:
        blocks.append(Folded(f"{counted(len(refused), 'rule')} tried and not kept",
                             [_rule_table("Rules that are not applied", refused, best.names)]))
    return blocks


def _rule_table(caption: str, rules: list[TriedRule], names: Mapping[str, str]) -> Table:
    rows = [[tried.says, fixed(tried.dice_before), fixed(tried.dice_after), signed(tried.dice_after - tried.dice_before),
             "" if tried.p_value is None else f"{tried.better} / {tried.worse}", number(tried.p_value, 2),
             _changes(tried, names)] for tried in rules]
    columns = ("rule", "Dice before", "Dice after", "gain", "cases better / worse", "p", "classes that change")
    return Table(caption, columns, rows, frozenset({6}))


def _changes(tried: TriedRule, names: Mapping[str, str]) -> str:
    changes = []
    for key, after in tried.classes_after.items():
        before = tried.classes_before.get(key)
        if before is not None and after is not None and abs(after - before) >= MARGIN:
            changes.append((abs(after - before), f"{shortened(names.get(key, key), 24)} {signed(after - before)}"))
    largest = [text for _, text in sorted(changes, reverse=True)]
    return ", ".join(largest[:4]) + (f" and {len(largest) - 4} more" if len(largest) > 4 else "") or "none"
