"""Files in the workspace: what is said of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.best import Best
from autoseg.errors import AutosegError
from autoseg.plan import Plans
from autoseg.workspace import DatasetFolder, read_json, read_model


@pytest.mark.parametrize("text", ["", '{"dataset": "Dat', "[]", '{"version": 1}'])
def test_a_damaged_or_old_file_is_named_with_what_makes_it_anew(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    folder = DatasetFolder(tmp_path / "Dataset 1")
    folder.root.mkdir()
    for path, model, command in (
        (folder.best_json, Best, "autoseg find-best 'Dataset 1'"),
        (folder.plans_json, Plans, "autoseg_plan_and_preprocess 'Dataset 1'"),
    ):
        path.write_text(text)
        with pytest.raises(AutosegError) as raised:
            read_model(path, model)
        assert str(raised.value).startswith(str(path)) and str(raised.value).endswith(f"To make it anew: {command}")


def test_a_summary_is_made_again_by_who_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOSEG_WORKSPACE", str(tmp_path))
    folder = DatasetFolder(tmp_path / "D")
    for path, command in (
        (folder.model("2d", "default").fold(1).summary_json, "autoseg_train"),
        (folder.ensemble("a + b") / "summary.json", "find-best"),
        (folder.preprocessed("2d") / "case.json", "autoseg_plan_and_preprocess D makes"),
    ):
        path.parent.mkdir(parents=True)
        path.write_text("{")
        with pytest.raises(AutosegError, match=rf"is not valid JSON .*Remove it: .*{command}"):
            read_json(path)


def test_a_users_own_dataset_json_is_not_for_autoseg_to_make(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(AutosegError, match=r"double quotes\)\.$"):
        read_json(tmp_path / "dataset.json")
