"""Models apart from segmentation (see `autoseg.kinds`): what describes them, and whether the folds of one agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from autoseg.errors import AutosegError
from autoseg.files import write_json
from autoseg.inference.checkpoints import Description
from autoseg.kinds import Kind
from autoseg.trainers.job import Job, other_settings
from autoseg.workspace import read_model

DescriptionType = TypeVar("DescriptionType", bound=Description)


@dataclass(frozen=True)
class Agreement(Generic[DescriptionType]):
    """What the folds of a model of this kind share.

    description: what `model.json` holds. fields: of it, or of its settings, that must be the same. plans_may_differ: fields of
    the plans that need not, for which the plans count as the same.
    """

    kind: Kind
    description: type[DescriptionType]
    fields: tuple[str, ...]
    plans_may_differ: tuple[str, ...]

    def describe(self, job: Job[Any], description: DescriptionType) -> None:
        """Write `model.json`, or check that the one that is there describes the same model."""
        begun = job.model.begun_folds()
        if begun and job.model.model_json.exists():
            self._require_same_model(job, description, begun)
        else:
            write_json(job.model.model_json, description)

    def check(self, job: Job[Any], description: DescriptionType) -> list[str]:
        """What the user should know of the model's other folds. Raises AutosegError where they are those of another model."""
        others = [fold for fold in job.model.begun_folds() if fold != job.fold]
        if others and job.model.model_json.exists():
            self._require_same_model(job, description, others)
        return other_settings(job, others)

    def are_same_plans(self, one: DescriptionType, other: DescriptionType) -> bool:
        """Whether both models see images in the same way."""
        return bool(self._plain(one, "plans") == self._plain(other, "plans"))

    def _require_same_model(self, job: Job[Any], description: DescriptionType, folds: list[str]) -> None:
        """Raises AutosegError where model.json, which `folds` were trained by, describes another model."""
        there = read_model(job.model.model_json, self.description)
        different = [field for field in self.fields if self._plain(there, field) != self._plain(description, field)]
        if different:
            raise AutosegError(
                f"{job.model.root} holds folds ({', '.join(folds)}) of a {self.kind.short} with other {', '.join(different)}. "
                "Folds of one model must agree: give this one a name of its own (--name), or train with the plans and settings "
                "of the others.")

    def _plain(self, description: DescriptionType, field: str) -> Any:
        if field not in self.description.model_fields:
            return description.settings.get(field)
        content = description.model_dump(mode="json")[field]
        return content if field != "plans" else {
            key: value for key, value in content.items() if key not in self.plans_may_differ}
