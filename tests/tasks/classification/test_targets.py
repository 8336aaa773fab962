"""Targets and covariates from tables, case_labels and folders; and all that can be wrong with a table, told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset, Labels
from autoseg.errors import AutosegError
from autoseg.files import write_text
from autoseg.tasks.classification.covariates import encoded, is_standardized, moments, standardize, unusual
from autoseg.tasks.classification.options import PlanOptions
from autoseg.tasks.classification.plan import Covariate
from autoseg.tasks.classification.targets import Known, read_targets

ROWS = ["a,cancer,61,f", "b,healthy,50,m", "c,cancer,,f", "d,healthy,44,m", "e,healthy,39,f"]


def dataset(folder: Path, cases: str = "abcde", **changes: Any) -> Dataset:
    training = tuple(Case(name=name, images=(folder / f"{name}.nii.gz",)) for name in cases)
    return Dataset(name="D", folder=folder, layout="nnunet", channel_names=("CT",), labels=Labels(values={"background": 0}),
                   file_ending=".nii.gz", training=training, **changes)


def table(folder: Path, rows: list[str], header: str = "case,diagnosis,age,sex", **options: Any) -> Known:
    write_text(folder / "targets.csv", "\n".join([header, *rows, ""]))
    return read_targets(dataset(folder), PlanOptions(**options))


def test_the_only_column_of_few_texts_is_told_and_the_others_are_covariates(tmp_path: Path) -> None:
    known = table(tmp_path, ROWS, target=("diagnosis",))
    assert known.target.classes == ("healthy", "cancer") and known.target.is_binary and known.target.outputs == 2
    assert known.target.of_case == {"a": (1,), "b": (0,), "c": (1,), "d": (0,), "e": (0,)}
    assert known.covariates == (Covariate(name="age", kind="number", has_missing=True),
                                Covariate(name="sex", kind="category", categories=("f", "m")))
    assert known.cells["c"] == ("", "f")
    alone = table(tmp_path, [row.rsplit(",", 1)[0] for row in ROWS], "case,diagnosis,age")
    assert alone.target.name == "diagnosis" and [covariate.name for covariate in alone.covariates] == ["age"]
    assert table(tmp_path, ROWS, target=("diagnosis",), covariates=("none",)).covariates == ()


def test_where_several_columns_may_be_told_they_are_listed(tmp_path: Path) -> None:
    with pytest.raises(AutosegError, match="Name the target with --target: diagnosis, age, sex"):
        table(tmp_path, ROWS)
    with pytest.raises(AutosegError, match='no column "diagnose". Did you mean "diagnosis"'):
        table(tmp_path, ROWS, target=("diagnose",))


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_a_mark_at_the_start_decimal_commas_and_endings_are_read(tmp_path: Path, separator: str) -> None:
    rows = [row.replace(",", separator).replace("61", "61,5") for row in ROWS]
    rows[0] = rows[0].replace("a", "a.nii.gz", 1)
    write_text(tmp_path / "targets.csv", "\ufeff" + "\n".join(["case,diagnosis,age,sex".replace(",", separator), *rows]))
    known = read_targets(dataset(tmp_path), PlanOptions(target=("diagnosis",)))
    assert known.target.of_case["a"] == (1,) and encoded(known.covariates, known.cells["a"]).tolist() == [61.5, 0, 1, 0]
    assert [fault.text for fault in known.faults if "separated" in fault.text]


def test_all_faults_of_a_table_are_told_at_once(tmp_path: Path) -> None:
    rows = [*ROWS, "b,cancer,50,m", "f,cancer,old,f", "g,Cancer,1", ",healthy,3,m", "h,healthy,5,m", "i,healthy,7,f",
            "j,Cancer,7,f"]
    with pytest.raises(AutosegError) as caught:
        table(tmp_path, rows, target=("diagnosis",))
    for part in ("line 7: case b is there a second time, with other cells than in line 3", 'line 8: "old" in the column age',
                 "line 9: 3 cells below 4 columns", "line 10: no case is named",
                 "the column diagnosis writes one class in several ways (Cancer, cancer)"):
        assert part in str(caught.value)


def test_what_can_be_lived_with_is_told_and_left_out(tmp_path: Path) -> None:
    rows = [*ROWS[:4], ROWS[0], "z,cancer,3,f"]
    known = table(tmp_path, rows, target=("diagnosis",))
    said = " ".join(fault.text for fault in known.faults)
    assert "second time, with the same cells" in said and "1 row of cases that the dataset does not have: z" in said
    assert "1 case without a target, which are neither trained nor validated on: e" in said
    assert sorted(known.target.of_case) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("rows", "message"), [
    (["a,cancer,1,f", "b,cancer,2,m"], "has one class only .cancer."),
    (["x,cancer,1,f", "y,healthy,2,m"], "names none of the cases of D"),
    (["a,cancer,1,f", "y,healthy,2,m"], "all cases of D have the class cancer"),
])
def test_one_class_only_is_refused(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(AutosegError, match=message):
        table(tmp_path, rows, target=("diagnosis",))


def test_columns_that_say_nothing_are_no_covariates(tmp_path: Path) -> None:
    known = table(tmp_path, [f"{row},{number}x,1.5" for number, row in enumerate(ROWS)], "case,diagnosis,age,sex,id,dose",
                  target=("diagnosis",))
    assert known.unused == {"id": "it holds 5 different texts in 5 cases", "dose": "it is constant (1.5)"}
    with pytest.raises(AutosegError, match="the column dose cannot be a covariate: it is constant"):
        table(tmp_path, [f"{row},1.5" for row in ROWS], "case,diagnosis,age,sex,dose", target=("diagnosis",),
              covariates=("dose",))


def test_several_targets_are_yes_or_no_each(tmp_path: Path) -> None:
    known = table(tmp_path, ["a,1,no", "b,0,", "c,1,yes", "d,0,no"], "case,oedema,mass", target=("oedema", "mass"))
    assert known.target.kind == "labels" and known.target.of_case["b"] == (0, -1) and known.target.outputs == 2
    assert known.target.words("c") == ["oedema", "mass"] and known.target.counts() == {"oedema": 2, "mass": 1}
    with pytest.raises(AutosegError, match="the column mass holds perhaps, but several targets at once are 0 or 1 each"):
        table(tmp_path, ["a,1,perhaps", "b,0,no"], "case,oedema,mass", target=("oedema", "mass"))


def test_classes_in_an_order_have_one_logit_fewer(tmp_path: Path) -> None:
    rows = ["a,low,1,f", "b,high,2,m", "c,mid,3,f"]
    known = table(tmp_path, rows, target=("diagnosis",), ordered=("low", "mid", "high"))
    assert known.target.kind == "ordered" and known.target.outputs == 2 and known.target.of_case["b"] == (2,)
    with pytest.raises(AutosegError, match="--ordered does not name mid"):
        table(tmp_path, rows, target=("diagnosis",), ordered=("low", "high"))


def test_case_labels_of_any_words_are_targets(tmp_path: Path) -> None:
    known = read_targets(dataset(tmp_path, case_labels={"a": "oak", "b": "elm", "c": "oak", "d": "elm"}), PlanOptions())
    assert known.target.classes == ("elm", "oak") and known.target.of_case["a"] == (1,) and known.table is None
    with pytest.raises(AutosegError, match="Nothing says which class .*targets.csv, or name one with --targets"):
        read_targets(dataset(tmp_path), PlanOptions())


def test_covariates_become_numbers_by_the_training_cases_alone() -> None:
    covariates = (Covariate(name="age", kind="number", has_missing=True),
                  Covariate(name="sex", kind="category", categories=("f", "m")))
    values = np.stack([encoded(covariates, cells) for cells in (("10", "f"), ("30", "m"), ("", "f"))])
    assert is_standardized(covariates).tolist() == [True, False, False, False]
    mean, std = moments(values, is_standardized(covariates))
    assert mean.tolist() == [20, 0, 0, 0] and std.tolist() == [10, 1, 1, 1]
    assert standardize(values, mean, std).tolist() == [[-1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0]]
    assert unusual(covariates, ("old", "x")) == (
        'age is "old", but numbers are expected: it is taken as missing', 'sex is "x", which no training case has (f, m)')
    assert "no covariates" in unusual(covariates, None)[0] and unusual((), None) == ()
