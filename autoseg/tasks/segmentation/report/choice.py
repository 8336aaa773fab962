"""Section of the report about find-best's choice: the models, the post-processing with what each rule gained, how to predict."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.best import Best, Candidate, TriedRule
from autoseg.commands import command_line
from autoseg.reporting.blocks import Block, Command, Folded, Heading, Section, Table, Text
from autoseg.tasks.segmentation.report.artefacts import SegmentationArtefacts
from autoseg.tasks.segmentation.report.ways import ways_blocks
from autoseg.wording import JOINED, counted, fixed, interval, number, shortened, signed

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
        Text(found.best.reason), _members(found.best), Heading("Models and ensembles compared"),
        Text("An ensemble averages the probabilities of its members. The simplest that is not worse than the best is taken; "
             "worse means that the difference over the cases is more than chance."),
        _candidates(found.best), Heading("Post-processing"), *_rules(found.best),
        Heading("How to predict"), *ways_blocks(found.best.ways, command_line(found.folder, "autoseg find-best"))]
    return section


def _members(best: Best) -> Table:
    rows = [[member.name, member.configuration, member.recipe, f",{JOINED}".join(sorted(member.weights))]
            for member in best.members]
    return Table("Models whose probabilities are averaged" if len(rows) > 1 else "The model",
                 ("model", "configuration", "recipe", "folds"), rows, frozenset({1, 2, 3}))


def _candidates(best: Best) -> Table:
    rows = [_candidate(candidate, candidate.members == best.members) for candidate in best.candidates]
    chosen = frozenset(i for i, candidate in enumerate(best.candidates) if candidate.members == best.members)
    columns = ("model or ensemble", "mean Dice", "difference", "95 % interval", "p", "cases", "")
    return Table("Mean Dice of the validation cases, and the difference to the highest", columns, rows, frozenset({6}), chosen)


def _candidate(candidate: Candidate, is_chosen: bool) -> list[str]:
    difference = candidate.difference
    verdict = "chosen" if is_chosen else "worse" if candidate.is_worse else "not worse"
    if difference is None:
        return [candidate.name, f"{candidate.dice:.4f}", "highest", "", "", str(candidate.cases), verdict]
    return [candidate.name, f"{candidate.dice:.4f}", signed(difference.mean), interval(difference.low, difference.high, 4),
            number(difference.p_value, 2), str(candidate.cases), verdict]


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
