"""`best.json`: which models a prediction averages, how they predict, what is done to its labels, and why. Small frozen models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from autoseg.bounds import Many, NotNegative
from autoseg.digests import file_digest
from autoseg.errors import many
from autoseg.plan import Frozen
from autoseg.ways import Difference, Ways
from autoseg.workspace import ModelFolder

SIGNIFICANT = 0.05  # a difference with a higher p-value may well be chance


class KeepLargest(Frozen):
    """A rule: keep the `count` largest connected components of the union of `labels` (values); the others become background.

    spared_ml, spared_mm: smaller components are spared where they are no larger than `spared_ml` and no farther than
    `spared_mm` from those that are kept, as specks were in the training labels. 0 spares none.
    """

    kind: Literal["keep_largest"] = "keep_largest"
    labels: tuple[int, ...]
    count: Many
    spared_ml: NotNegative = 0.0
    spared_mm: NotNegative = 0.0


class DropSmall(Frozen):
    """A rule: components of the union of `labels` that are smaller than `below_ml` become background."""

    kind: Literal["drop_small"] = "drop_small"
    labels: tuple[int, ...]
    below_ml: float = Field(gt=0, allow_inf_nan=False)


class DropDetached(Frozen):
    """A rule: components of `label` that touch no voxel of the values `anchors` become background.

    Two voxels touch where they share a face, an edge or a corner.
    """

    kind: Literal["drop_detached"] = "drop_detached"
    label: int
    anchors: tuple[int, ...]


Rule = Annotated[KeepLargest | DropSmall | DropDetached, Field(discriminator="kind")]


def rule_facts(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """Return what rules do, as plain values for an origin; defaults are left out."""
    return [{"kind": rule.kind} | rule.model_dump(mode="json", exclude_defaults=True) for rule in rules]


class TriedRule(Frozen):
    """A candidate rule, and its effect on the pooled validation predictions. says: the rule in words.

    accepted: whether it is applied; then it is applied after those that stand before it. dice_before, dice_after: mean
    Dice over classes and cases. classes_before, classes_after: by class key (see `evaluation.metrics.class_keys`). better, worse:
    cases whose own Dice rises and falls; p_value: how likely at least so many of these rise by chance (one-sided exact sign
    test); None where that was not measured.
    """

    rule: Rule
    says: str
    accepted: bool
    dice_before: float
    dice_after: float
    classes_before: dict[str, float | None]
    classes_after: dict[str, float | None]
    better: int = 0
    worse: int = 0
    p_value: float | None = None

    @property
    def is_weak(self) -> bool:
        """Tell whether the rise may well be chance: so few cases rise, or so many fall."""
        return self.p_value is not None and self.p_value >= SIGNIFICANT

    @property
    def evidence(self) -> str:
        """Return "better in 3 cases, worse in 0; weak evidence (p = 0.12)"; "" where it was not measured."""
        if self.p_value is None:
            return ""
        verdict = "weak evidence " if self.is_weak else ""
        return f"better in {many(self.better, 'case')}, worse in {self.worse}; {verdict}(p = {self.p_value:.2g})"


class Member(Frozen):
    """A model: folds of one configuration and recipe. weights: fold to a digest of its final weights file."""

    configuration: str
    recipe: str
    weights: dict[str, str]

    @property
    def name(self) -> str:
        """Return the model's name (see `model_name`)."""
        return model_name(self.configuration, self.recipe)

    def __hash__(self) -> int:
        return hash((self.configuration, self.recipe, *sorted(self.weights.items())))


class Candidate(Frozen):
    """The results of a model or an ensemble on the pooled validation cases of all folds.

    value: of the measure that all are compared by. classes: the same by class key. difference: to the candidate with the highest
    value; None for that one itself. is_worse: whether the difference is more than chance.
    """

    members: tuple[Member, ...]
    value: float
    classes: dict[str, float | None]
    cases: int
    difference: Difference | None = None
    is_worse: bool = False

    @model_validator(mode="before")
    @classmethod
    def _earlier_name(cls, given: Any) -> Any:
        """Read "dice", as files called the value before other measures were compared by, too."""
        return {("value" if key == "dice" else key): its for key, its in given.items()} if isinstance(given, dict) else given

    @property
    def name(self) -> str:
        """Return the ensemble's name (see `ensemble_name`)."""
        return ensemble_name(self.members)


class Best(Frozen):
    """The choice that `autoseg find-best` made for a dataset.

    members: their probabilities are averaged. rules: all rules that were tried, accepted ones first, in the order in which they
    are applied. reason: the reason for these members. measure: by which all candidates were compared, the highest first. names:
    class key to name. references: digest of the labels, or targets, that the candidates were compared with. ways: how the members
    can predict, and how they do; None where that was not measured: then in full.
    """

    remedy: ClassVar[str] = "To make it anew: autoseg find-best {dataset}"

    dataset: str
    members: tuple[Member, ...]
    reason: str
    measure: str = "mean Dice"
    candidates: tuple[Candidate, ...]
    rules: tuple[TriedRule, ...]
    names: dict[str, str]
    references: str
    versions: dict[str, str]
    ways: Ways | None = None

    @property
    def name(self) -> str:
        """Return the ensemble's name (see `ensemble_name`)."""
        return ensemble_name(self.members)

    @property
    def postprocessing(self) -> tuple[Rule, ...]:
        """Return the accepted rules, in order."""
        return tuple(tried.rule for tried in self.rules if tried.accepted)


def member_of(model: ModelFolder, folds: Iterable[int | str]) -> Member:
    """Return a model by its name and the digests of these folds' final weights. Raises AutosegError where one has none."""
    weights = {str(fold): file_digest(model.fold(fold).checkpoint_final) for fold in folds}
    return Member(configuration=model.configuration, recipe=model.recipe, weights=weights)


def model_name(configuration: str, recipe: str) -> str:
    """Return a model's name: "3d_fullres" for the default recipe, else a name such as "3d_fullres/RECIPE"."""
    return configuration if recipe == "default" else f"{configuration}/{recipe}"


def ensemble_name(members: Iterable[Member]) -> str:
    """Return an ensemble's name, such as "2d + 3d_fullres"; for a single model, return the model's own name."""
    return " + ".join(member.name for member in members)
