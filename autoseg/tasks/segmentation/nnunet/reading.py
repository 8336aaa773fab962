"""Models of nnU-Net v2 on disk, and the same as models of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from autoseg.errors import AutosegError, some
from autoseg.files import write_json
from autoseg.inference.checkpoints import write_weights
from autoseg.names import name_fault
from autoseg.tasks.segmentation.model import NETWORK, ModelDescription
from autoseg.tasks.segmentation.nnunet.checkpoint import NnunetCheckpoint, read_checkpoint
from autoseg.tasks.segmentation.nnunet.plans import NnunetPlans
from autoseg.workspace import ModelFolder

CHECKPOINTS = ("final", "best")
LONGEST_NAME = 120  # letters
DEPTH = 3  # folders below the given one in which models are looked for
PLANNED_NETWORK = re.compile(  # trainers of nnU-Net 2.8.1 that leave the network as it was planned
    r"nnUNetTrainer(BN|NoDeepSupervision|NoMirroring|NoDA|DA5\w*|DAOrd0|_DASegOrd0\w*|_onlyMirror01\w*|_noDummy2DDA|"
    r"_\d+epochs?(_NoMirroring)?|DiceLoss|DiceCELoss_noSmooth|CELoss\w*|Topk10Loss\w*|DiceTopK10Loss|CosAnneal|_warmup|Adam\w*|"
    r"VanillaAdam\w*|Adan\w*|_probabilisticOversampling\w*|Benchmark\w*)?")


def find_models(folder: Path) -> list[Path]:
    """Return the folders of nnU-Net's models that `folder` is, or holds, sorted."""
    found = {file.parents[1] for depth in range(DEPTH + 1) for kind in CHECKPOINTS
             for file in folder.glob(f"{'*/' * depth}fold_*/checkpoint_{kind}.pth")}
    return sorted(found)


def take(source: Path, into: Path, folds: Sequence[str] | None = None) -> list[ModelFolder]:
    """Write one of nnU-Net's models as ours, into `into`/<dataset>/models/<configuration>/<name>.

    source: its folder, as `find_models` gives it. The name is that of nnU-Net's trainer and plans. folds: those that are wanted;
    None for all. Returns the model, after that of the stage that it goes on from; one that `into` holds already is not written
    again. Raises AutosegError where it is damaged, or has what autoseg has no equal for.
    """
    plans = NnunetPlans(source)
    description: ModelDescription | None = None
    for fold, files in _files(source, folds).items():
        for kind, file in files.items():
            checkpoint = read_checkpoint(file)
            its = _describe(plans, checkpoint)
            if description is None:
                description = its
                if _target(into, its).model_json.exists():
                    return [_target(into, its)]
            elif its != description:
                raise AutosegError(f"{file} is of another model than the first fold of {source}: configuration "
                                   f"{its.configuration_name}, trainer {its.recipe}. Put folds of one model into one folder.")
            _write(checkpoint, its, _target(into, its).fold(fold).root / f"checkpoint_{kind}.safetensors")
    assert description is not None, "a model has a fold"
    target = _target(into, description)
    before = [] if (stage := description.configuration.previous_stage) is None else take(
        _beside(source, stage), into)
    write_json(target.model_json, description)
    return [*before, target]


def _beside(source: Path, stage: str) -> Path:
    """Return the folder of the model of a cascade's first stage. Raises AutosegError where it is not there."""
    first = source.with_name(f"{source.name.rpartition('__')[0]}__{stage}")
    if first not in find_models(first):
        raise AutosegError(f"{source} goes on from the segmentation by {stage}, but {first} holds no model of it. Copy that "
                           "folder there from where this one comes, too.")
    return first


def _target(into: Path, description: ModelDescription) -> ModelFolder:
    return ModelFolder(into / description.dataset / "models" / description.configuration_name / description.called)


def _files(source: Path, folds: Sequence[str] | None) -> dict[str, dict[str, Path]]:
    """Return the files of each fold by the kind of checkpoint. Raises AutosegError that lists the folds there are."""
    there: dict[str, dict[str, Path]] = {}
    for kind in CHECKPOINTS:
        for file in sorted(source.glob(f"fold_*/checkpoint_{kind}.pth")):
            there.setdefault(file.parent.name.removeprefix("fold_"), {})[kind] = file
    wanted = list(there) if folds is None else list(map(str, folds))
    if not there or (missing := [fold for fold in wanted if fold not in there]):
        lacking = "a fold with weights" if not there else f"a fold {', '.join(missing)}"
        raise AutosegError(f"{source} does not hold {lacking} (checkpoint_final.pth). There are: "
                           f"{some(path.parent.name for path in sorted(source.glob('fold_*/checkpoint_*.pth'))) or 'none'}.")
    return {fold: there[fold] for fold in wanted}


def _describe(plans: NnunetPlans, checkpoint: NnunetCheckpoint) -> ModelDescription:
    name = f"{checkpoint.trainer}__{plans.name}"
    described = plans.describe(
        checkpoint.configuration, name, checkpoint.trainer, checkpoint.mirror_axes, checkpoint.has_batch_norm)
    for text in (described.dataset, described.configuration_name, described.called):
        if fault := name_fault(text) or ("the name is too long" if len(text) > LONGEST_NAME else ""):
            raise AutosegError(
                f"{checkpoint.file}: no folder can be called {text[:LONGEST_NAME]!a}, as the model says it of its dataset, "
                f"configuration or name: {fault}.")
    return described.model_copy(update={"notes": _notes(described)})


def _write(checkpoint: NnunetCheckpoint, description: ModelDescription, file: Path) -> None:
    with torch.device("meta"):
        network = description.build()
    weights = checkpoint.for_network(network, description.configuration.network, description.labels)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_weights(file, {f"{NETWORK}.{key}": value for key, value in weights.items()}, {"trainer": checkpoint.trainer})


def _notes(description: ModelDescription) -> tuple[str, ...]:
    if PLANNED_NETWORK.fullmatch(description.recipe):
        return ()
    return (f"{description.recipe} is none of nnU-Net's own trainers. Its weights fit the network that was planned, which is "
            "what runs here; if the trainer changed what is between the weights (activation, normalization), its results differ. "
            "Compare one case with nnU-Net's.",)
