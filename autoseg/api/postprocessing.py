"""postprocess: the rules that find-best accepted, applied to any folder of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoseg import console, image_io, layouts
from autoseg.api import tasks
from autoseg.api.common import PathLike, in_workspace
from autoseg.best import Best
from autoseg.commands import command_line
from autoseg.errors import AutosegError, many
from autoseg.parallel import Outcome
from autoseg.postprocessing.files import begin, output_paths, postprocess_files
from autoseg.workspace import Workspace, read_model


@dataclass(frozen=True)
class PostprocessResult:
    """The results. written: files by the input's name, with those that were there already. failed: reasons. rules: in words."""

    written: dict[str, Path]
    failed: dict[str, str]
    already_there: int
    rules: tuple[str, ...]


def postprocess(
    input: PathLike, output: PathLike, dataset: PathLike | None = None, rules: PathLike | None = None,
    workers: int | None = None, overwrite: bool = False, workspace: PathLike | None = None, quiet: bool = False,
) -> PostprocessResult:
    """Apply the accepted rules of a best.json to a label file or a folder of them, and write the results into `output`.

    rules: a best.json; else that of `dataset`, or the only one in the workspace. Every result has its input's name, grid,
    header and dtype. A file that fails stops no other; what an earlier run of the same rules finished stays as it is.
    """
    best = read_model(_best_json(rules, dataset, Workspace.at(workspace)), Best)
    says = tuple(tried.says for tried in best.rules if tried.accepted)
    inputs, folder = _label_files(Path(input)), Path(output)
    if not quiet:
        console.show(f"Rules of {best.dataset}:" + "".join(f"\n  {rule}" for rule in says) if says else
                     f"Find-best accepted no rule for {best.dataset}: the labels are copied as they are.")
    written = {source.name: target for source, target in output_paths(inputs, folder).items()}
    waiting, outputs = begin(inputs, folder, best.postprocessing, overwrite)
    failed = {}
    outcome: Outcome[Path]
    with console.progress(f"Post-processing {many(len(waiting), 'file')}", quiet) as report:
        finish = console.counted(report, len(waiting))
        for outcome in postprocess_files(waiting, folder, best.postprocessing, workers):
            finish(outcome.item.name)
            if outcome.error is None:
                outputs.finish(written[outcome.item.name].name)
            else:
                failed[outcome.item.name] = str(outcome.error)
                del written[outcome.item.name]
    return PostprocessResult(written, failed, len(inputs) - len(waiting), says)


def _best_json(rules: PathLike | None, dataset: PathLike | None, place: Workspace) -> Path:
    if rules is not None:
        return Path(rules)
    info = tasks.default_task().info
    if dataset is not None:
        folder = in_workspace(str(dataset), place)
        if not (path := folder.best_of(info)).exists():
            raise AutosegError(f"{path} does not exist: no rules were chosen for {folder.name} yet. Run: "
                               + command_line(folder, "autoseg find-best"))
        return path
    found = [folder for folder in place.datasets() if folder.best_of(info).exists()]
    if len(found) == 1:
        return found[0].best_of(info)
    if found:
        raise AutosegError("Rules were chosen for several datasets. Say whose to apply: "
                           + ", ".join(f"-d {folder.name}" for folder in found))
    raise AutosegError(f"No rules were chosen for any dataset in the workspace {place.root}. Run: autoseg find-best DATASET, "
                       "or give a best.json with --rules.")


def _label_files(source: Path) -> list[Path]:
    """Return the label files of a folder, or the one file. Raises AutosegError where there is none."""
    if source.is_file():
        return [source]
    found = layouts.image_files(source)
    if not found:
        what = "holds no label file" if source.is_dir() else "does not exist"
        raise AutosegError(f"{source} {what}. Expected a label file, or a folder of label files; their names end with "
                           f"{', '.join(image_io.ENDINGS)}.")
    return found
