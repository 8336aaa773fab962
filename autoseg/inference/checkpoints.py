"""Trained models on disk: what `model.json` says of every task's models, and how networks get the weights of folds."""

from __future__ import annotations

import errno
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from autoseg.digests import file_digest
from autoseg.errors import AutosegError
from autoseg.files import atomic_path, require_regular_file
from autoseg.plan import Frozen
from autoseg.provenance import Origin
from autoseg.versions import versions
from autoseg.workspace import MODEL_REMEDY, ModelFolder, read_model, task_of

Checkpoint = Literal["final", "best"]
Weights = dict[str, torch.Tensor]
DIGEST = "digest"  # key of a weights file's metadata
LOOKS_LIKE_DIGEST = re.compile("[0-9a-f]{16}")
AGAIN = "Copy it again from where it is whole, or train this fold again with --restart."


class Description(Frozen):
    """The entries of `model.json` that every task has; it holds all that prediction needs except weights.

    task: what the model does. dataset: its name. configuration_name: folder under `models`. recipe, settings: what was trained
    and how. name: the model's, where it differs from the recipe's. flags: those of autoseg_train that give these settings.
    versions: those of the packages that trained it. Each task adds its plans, without cases, and its networks.
    """

    remedy: ClassVar[str] = MODEL_REMEDY

    task: str
    dataset: str
    configuration_name: str
    recipe: str
    settings: dict[str, Any]
    flags: tuple[str, ...] = ()
    versions: dict[str, str]
    name: str | None = None

    @property
    def called(self) -> str:
        """Return the name that the user knows the model by: its own, or its recipe's."""
        return self.name or self.recipe


DescriptionType = TypeVar("DescriptionType", bound=Description)
NetworkType = TypeVar("NetworkType")


@dataclass(frozen=True)
class Loaded(Generic[DescriptionType, NetworkType]):
    """A trained model: the networks of one or more folds, in eval mode on their device.

    folds: their names, and files: their weights files, in the networks' order; files are empty for networks made in memory.
    """

    description: DescriptionType
    networks: list[NetworkType]
    folds: tuple[str, ...]
    files: tuple[Path, ...] = ()

    def facts(self, **more: Any) -> dict[str, Any]:
        """Return what a prediction by this model depends on, as plain values. Raises AutosegError where weights are gone."""
        its = self.description
        return {"dataset": its.dataset, "configuration": its.configuration_name, "recipe": its.called, "folds": list(self.folds),
                "weights": " ".join(map(file_digest, self.files)), **more}

    @property
    def in_words(self) -> str:
        """Return the model in words, such as "Dataset004_Hippocampus, 3d_fullres, default, fold 0 1 2 3 4"."""
        its = self.description
        return f"{its.dataset}, {its.configuration_name}, {its.called}, fold {' '.join(self.folds)}"


def origin_of(models: Sequence[Mapping[str, Any]], **settings: Any) -> Origin:
    """Return what makes the outputs of a prediction. models: their `Loaded.facts`; their order changes nothing. settings: all
    else that the outputs depend on, by name."""
    in_order = sorted(models, key=lambda facts: [str(facts[key]) for key in ("dataset", "configuration", "recipe", "weights")])
    named: dict[str, Mapping[str, Any]] = {}
    count: Counter[str] = Counter()
    for facts in in_order:
        name = f"{facts['configuration']} {facts['recipe']}"
        count[name] += 1
        named[name if count[name] == 1 else f"{name} ({count[name]})"] = facts
    return Origin.of(models=named, **settings)


def require_task(folder: ModelFolder, task: str, flag: str = "-m") -> None:
    """Raise AutosegError where the folder is not a model, or one of another task. flag: the one that named the folder."""
    if not folder.model_json.is_file():
        raise AutosegError(f"{folder.root} is not a trained model: it has no model.json. Train one with autoseg_train, or "
                           f"give the folder that holds model.json with {flag}.")
    found = task_of(folder)
    if found not in ("", task):
        raise AutosegError(f'{folder.root} holds a model of the task "{found}", but one of the task "{task}" is expected with '
                           f"{flag}. autoseg_predict -m with this folder alone runs it as what it is.")


def load(
    folder: ModelFolder, task: str, description: type[DescriptionType],
    build: Callable[[DescriptionType, Weights, Path, torch.device], NetworkType], folds: Sequence[str] | None = None,
    checkpoint: Checkpoint = "final", device: torch.device | None = None,
    run: Callable[[DescriptionType, Path, Callable[[], NetworkType]], NetworkType] | None = None,
) -> Loaded[DescriptionType, NetworkType]:
    """Return a trained model from its folder.

    description: model of `model.json`. build: makes the networks of one fold from the weights of a file, ready for prediction.
    folds: "0".."4" or "all"; None for every finished fold of the cross-validation, or "all" where there is none. checkpoint:
    weights of the last epoch, or of the best one in the online validation. device: of the networks; None for the CPU.
    run: gives what runs a network, from its weights file and what reads and builds it; None for the network itself.
    Raises AutosegError where the folder is not a model of the task, a fold is not there, or weights do not fit model.json.
    """
    require_task(folder, task)
    described = read_model(folder.model_json, description)
    files = checkpoint_files(folder, folds, checkpoint)

    def of(file: Path) -> NetworkType:
        def make() -> NetworkType:
            return build(described, read_weights(file), file, device or torch.device("cpu"))
        return make() if run is None else run(described, file, make)

    networks = [of(file) for file in files.values()]
    return Loaded(described, networks, tuple(files), tuple(files.values()))


def checkpoint_files(folder: ModelFolder, folds: Sequence[str] | None, checkpoint: Checkpoint) -> dict[str, Path]:
    """Return the weights file of each fold. Raises AutosegError that lists the folds there are."""
    found = {path.parent.name.removeprefix("fold_"): path
             for path in sorted(folder.root.glob(f"fold_*/checkpoint_{checkpoint}.safetensors"))}
    if not found:
        raise AutosegError(f"{folder.shown} has no fold with weights (checkpoint_{checkpoint}.safetensors). "
                           "Train one to its end with autoseg_train.")
    if folds is None:
        return {fold: path for fold, path in found.items() if fold != "all"} or found
    missing = [str(fold) for fold in folds if str(fold) not in found]
    if missing:
        raise AutosegError(f"{folder.shown} has no fold {', '.join(missing)} with {checkpoint} weights. "
                           f"There are: {', '.join(found)}.")
    return {str(fold): found[str(fold)] for fold in folds}


def read_weights(file: Path) -> Weights:
    """Return all of a safetensors file. Raises AutosegError where it is missing or damaged, or holds NaN or infinite values."""
    require_regular_file(file)
    try:
        with safe_open(file, "pt") as opened:
            facts, weights = opened.metadata() or {}, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise AutosegError(f"{file} is damaged ({error}). {AGAIN}") from error
    is_sealed = DIGEST in facts or any(map(LOOKS_LIKE_DIGEST.fullmatch, facts.values()))  # the key itself may be damaged
    if is_sealed and digest_of_weights(weights) not in facts.values():
        raise AutosegError(f"{file} is damaged: its weights are not those that were written there. {AGAIN}")
    for name, values in weights.items():
        if values.is_floating_point() and values.numel() and not all(map(torch.isfinite, torch.aminmax(values.float()))):
            raise AutosegError(f"{file} holds weights that are no numbers (NaN or infinite, in {name}): nothing can be predicted "
                               f"with them. {AGAIN}")
    return weights


def write_weights(path: Path, weights: Weights, facts: Mapping[str, str]) -> None:
    """Write weights (contiguous, on the CPU) as safetensors, with `facts`, versions and their digest in its metadata."""
    metadata = {**facts, **versions(), DIGEST: digest_of_weights(weights)}
    with atomic_path(path) as temporary:
        try:
            save_file(weights, temporary, metadata=metadata)
            temporary.chmod(0o666 & temporary.parent.stat().st_mode)  # safetensors lets nobody else read it
        except SafetensorError as error:
            raise OSError(errno.ENOSPC, str(error).splitlines()[0]) from error  # it reports a full disk by an error of its own


def sealed_digest(file: Path) -> str:
    """Return the digest of the weights in a file (see `digest_of_weights`): the one that it carries, if it does. The file itself
    need not be the same wherever the same weights are written. Raises AutosegError as `read_weights`."""
    require_regular_file(file)
    try:
        with safe_open(file, "pt") as opened:
            found = (opened.metadata() or {}).get(DIGEST)
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise AutosegError(f"{file} is damaged ({error}). {AGAIN}") from error
    return found or digest_of_weights(read_weights(file))


def digest_of_weights(weights: Mapping[str, torch.Tensor]) -> str:
    """Return the digest of names, types, shapes and values of weights, which their file carries; 16 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=8)
    for name, values in sorted(weights.items()):
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def part_of(weights: Weights, module: str) -> Weights:
    """Return the weights of one module of the recipe, which are named "<module>.<weight>", without its name."""
    return {name.removeprefix(f"{module}."): values for name, values in weights.items() if name.startswith(f"{module}.")}


def fill(network: nn.Module, weights: Weights, file: Path) -> None:
    """Give the network its weights. file: their file. Raises AutosegError where names, shapes or kinds of numbers differ."""
    _check_fit(network.state_dict(), weights, file)
    network.load_state_dict(weights, assign=True)


def _check_fit(expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor], weights: Path) -> None:
    """Raise AutosegError where names, shapes or kinds of numbers of weights differ."""
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    both = sorted(expected.keys() & found.keys())
    reshaped = [name for name in both if expected[name].shape != found[name].shape]
    retyped = [name for name in both if expected[name].is_floating_point() != found[name].is_floating_point()
               or expected[name].is_complex() != found[name].is_complex()]
    if not (missing or unknown or reshaped or retyped):
        return
    differences = [f"{len(names)} {what} (such as {names[0]})"
                   for what, names in (("are missing", missing), ("are not known", unknown)) if names]
    if retyped:
        name = retyped[0]
        differences.append(f"{len(retyped)} have another type (such as {name}: {found[name].dtype}, "
                           f"expected {expected[name].dtype})")
    if reshaped:
        name = reshaped[0]
        differences.append(f"{len(reshaped)} have another shape (such as {name}: {tuple(found[name].shape)}, "
                           f"expected {tuple(expected[name].shape)})")
    raise AutosegError(f"{weights} does not fit the network that model.json describes: of its weights, "
                       f"{', '.join(differences)}. It comes from a model of another dataset, configuration or version: "
                       "copy the model's folder as a whole.")
