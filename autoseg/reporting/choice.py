"""The choice between models and ensembles on the page: those that predict, and all that were compared."""

from __future__ import annotations

from autoseg.best import Best, Candidate
from autoseg.reporting.blocks import Block, Heading, Table, Text
from autoseg.wording import JOINED, interval, number, signed


def choice_blocks(best: Best) -> list[Block]:
    """Show which models were chosen, why, and how all of them compare."""
    return [Text(best.reason), _members(best), Heading("Models and ensembles compared"),
            Text("An ensemble averages the probabilities of its members. The simplest that is not worse than the best is taken; "
                 "worse means that the difference is more than chance."), _candidates(best)]


def _members(best: Best) -> Table:
    rows = [[member.name, member.configuration, member.recipe, f",{JOINED}".join(sorted(member.weights))]
            for member in best.members]
    return Table("Models whose probabilities are averaged" if len(rows) > 1 else "The model",
                 ("model", "configuration", "recipe", "folds"), rows, frozenset({1, 2, 3}))


def _candidates(best: Best) -> Table:
    rows = [_candidate(candidate, candidate.members == best.members) for candidate in best.candidates]
    chosen = frozenset(i for i, candidate in enumerate(best.candidates) if candidate.members == best.members)
    columns = ("model or ensemble", best.measure, "difference", "95 % interval", "p", "cases", "")
    caption = f"{best.measure[0].upper()}{best.measure[1:]} of the validation cases, and the difference to the highest"
    return Table(caption, columns, rows, frozenset({6}), chosen)


def _candidate(candidate: Candidate, is_chosen: bool) -> list[str]:
    difference = candidate.difference
    verdict = "chosen" if is_chosen else "worse" if candidate.is_worse else "not worse"
    if difference is None:
        return [candidate.name, f"{candidate.value:.4f}", "highest", "", "", str(candidate.cases), verdict]
    return [candidate.name, f"{candidate.value:.4f}", signed(difference.mean), interval(difference.low, difference.high, 4),
            number(difference.p_value, 2), str(candidate.cases), verdict]
