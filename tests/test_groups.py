"""Patients read out of case names: what groups by itself, what is only suspected, and what is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset import load_dataset
from autoseg.groups import listed_patients, patients_of, suspicion

MEMBRANES = [f"membrane_{number:02d}" for number in range(1, 30)]


@pytest.mark.parametrize(("cases", "together", "patterns"), [
    (["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"], {"sub-01": ("sub-01_ses-1", "sub-01_ses-2")}, ("BIDS subject",)),
    (["sub-01_ses-1_run-2_T1w", "sub-01_T1w", "sub-02_T1w"], {"sub-01": ("sub-01_T1w", "sub-01_ses-1_run-2_T1w")},
     ("BIDS subject",)),
    (["site_sub-a1_T1w", "site_sub-a1_T2w", "other_sub-a1_T1w"], {"site_sub-a1": ("site_sub-a1_T1w", "site_sub-a1_T2w")},
     ("BIDS subject",)),
    (["p1_ses-1", "p1_ses-2", "p2_ses-1"], {"p1": ("p1_ses-1", "p1_ses-2")}, ("visit or scan number",)),
    (["p1_scan2", "p1_scan10", "p2_scan1"], {"p1": ("p1_scan10", "p1_scan2")}, ("visit or scan number",)),
    (["p1-Visit03", "p1-Visit04", "p2"], {"p1": ("p1-Visit03", "p1-Visit04")}, ("visit or scan number",)),
    (["p1_tp1", "p1_t0", "p1_timepoint2", "p2"], {"p1": ("p1_t0", "p1_timepoint2", "p1_tp1")}, ("visit or scan number",)),
    (["anna_t0", "anna_t1", "bert_t0", "bert_t1"], {"anna": ("anna_t0", "anna_t1"), "bert": ("bert_t0", "bert_t1")},
     ("visit or scan number",)),
    (["p_baseline", "p_followup", "q_baseline", "q_fu1"], {"p": ("p_baseline", "p_followup"), "q": ("q_baseline", "q_fu1")},
     ("point in time", "visit or scan number")),
    (["p1", "p1_followup", "p2"], {"p1": ("p1", "p1_followup")}, ("point in time",)),
    (["p_pre", "p_post", "q_pre"], {"p": ("p_post", "p_pre")}, ("point in time",)),
    (["k_L", "k_R", "m_left", "m_right", "n_L"], {"k": ("k_L", "k_R"), "m": ("m_left", "m_right")}, ("side",)),
    (["p1_left_ses1", "p1_right_ses1", "p1_left_ses2", "p2_left_ses1"],
     {"p1": ("p1_left_ses1", "p1_left_ses2", "p1_right_ses1")}, ("side", "visit or scan number")),
    (["patient001_frame01", "patient001_frame12", "patient002_frame01"],
     {"patient001": ("patient001_frame01", "patient001_frame12")}, ("slice or frame number",)),
])
def test_names_that_can_hardly_mean_anything_else_group_by_themselves(
    cases: list[str], together: dict[str, tuple[str, ...]], patterns: tuple[str, ...]
) -> None:
    found = patients_of(cases, {})
    assert (found.together, found.patterns, found.suspected) == (together, patterns, {})


def test_hundreds_of_slices_of_a_volume_are_one_patient() -> None:
    cases = [f"vol{volume}_slice{number:03d}" for volume in (1, 2) for number in range(200)]
    assert {patient: len(members) for patient, members in patients_of(cases, {}).together.items()} == {"vol1": 200, "vol2": 200}


@pytest.mark.parametrize(("cases", "suspected"), [
    (["pat012_1", "pat012_2", "pat013_1", "pat013_2", "pat014_1"], {"pat012": ("pat012_1", "pat012_2"),
                                                                  "pat013": ("pat013_1", "pat013_2")}),
    (["001_a", "001_b", "002_a", "002_b"], {"001": ("001_a", "001_b"), "002": ("002_a", "002_b")}),
    (["7a", "7b", "8a", "8b"], {"7": ("7a", "7b"), "8": ("8a", "8b")}),
    (["p1", "p1_2", "p2", "p2_2"], {"p1": ("p1", "p1_2"), "p2": ("p2", "p2_2")}),
    (["GLI-00005-000", "GLI-00005-001", "GLI-00006-000", "GLI-00006-001", "GLI-00007-000"],
     {"GLI-00005": ("GLI-00005-000", "GLI-00005-001"), "GLI-00006": ("GLI-00006-000", "GLI-00006-001")}),
    (["OAS1_0001_MR1", "OAS1_0001_MR2", "OAS1_0002_MR1", "OAS1_0002_MR2"],
     {"OAS1_0001": ("OAS1_0001_MR1", "OAS1_0001_MR2"), "OAS1_0002": ("OAS1_0002_MR1", "OAS1_0002_MR2")}),
    (["p1_20190102", "p1_20200304", "p2_20180506", "p2_20190708"],
     {"p1": ("p1_20190102", "p1_20200304"), "p2": ("p2_20180506", "p2_20190708")}),
])
def test_a_common_beginning_with_a_short_number_or_letter_is_only_suspected(
    cases: list[str], suspected: dict[str, tuple[str, ...]]
) -> None:
    found = patients_of(cases, {})
    assert (found.together, found.suspected) == ({}, suspected)


@pytest.mark.parametrize("cases", [
    MEMBRANES,
    [f"hippocampus_{number:03d}" for number in range(200)],
    [f"case_{number:05d}" for number in range(300)],
    [f"la_{number:03d}" for number in range(30)],
    [f"Task07_{number:03d}" for number in range(30)],
    [f"mri_scan{number}" for number in range(40)],
    [f"mri_scan{number}" for number in range(40)] + ["phantom"],
    [f"site{site}_{number:03d}" for site in (1, 2, 3) for number in range(40)],
    [f"{year}_{number:03d}" for number, year in enumerate([2019] * 5 + [2020] * 6)],
    [f"abnormal_Y{number}" for number in range(1, 99)] + [f"normal_N{number}" for number in range(1, 9)],
    [f"sub-{number:02d}" for number in range(20)],
    [f"sub-pat-{number:02d}" for number in range(20)],
    [f"sub-control_{number:02d}" for number in range(9)] + [f"sub-patient_{number:02d}" for number in range(9)],
    ["patient07", "patient19"],
    ["p1_L", "p2_R"],
    ["p1_ses1", "p2_ses1"],
    ["pat012_1", "pat012_2", "pat013_1"],
    [],
])
def test_running_numbers_and_lone_scans_are_left_alone(cases: list[str]) -> None:
    found = patients_of(cases, {})
    assert (found.together, found.suspected) == ({}, {})


@pytest.mark.parametrize(
    "name", ["Dataset004_Hippocampus", "Dataset010_LumbarSpine", "Dataset020_MSLesions", "Dataset030_Membrane"])
def test_real_datasets_are_neither_grouped_nor_suspected(shared_data: Path, name: str) -> None:
    dataset = load_dataset(shared_data / name)
    found = patients_of([case.name for case in dataset.training], dataset.groups)
    assert (found.together, found.suspected) == ({}, {})


@pytest.mark.parametrize("folder", ["kits19_masks", "brain_mri_yesno"])
def test_real_folders_of_files_are_neither_grouped_nor_suspected(shared_data: Path, folder: str) -> None:
    names = sorted({path.name.split(".")[0] for path in (shared_data / folder).rglob("*.*") if path.suffix != ".txt"})
    found = patients_of(names, {})
    assert names and (found.together, found.suspected) == ({}, {})


def test_what_dataset_json_says_counts_alone() -> None:
    cases = ["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "other"]
    found = patients_of(cases, {"sub-02_ses-1": "twins", "other": "twins", "left_out": "twins"})
    assert found.together == {"twins": ("other", "sub-02_ses-1")} and found.patterns == ()
    assert found.suspected == {"sub-01": ("sub-01_ses-1", "sub-01_ses-2")}
    named = patients_of(cases, {"sub-01_ses-1": "a", "sub-01_ses-2": "b"})
    assert (named.together, named.suspected) == ({}, {})


def test_groups_hold_every_case_once_even_where_a_case_is_called_like_a_patient() -> None:
    found = patients_of(["p1", "p1_ses1", "p1_ses2", "x"], {"p1_ses1": "x_", "p1_ses2": "x_"})
    assert found.groups(["x", "p1_ses2", "p1", "p1_ses1"]) == [["p1"], ["p1_ses1", "p1_ses2"], ["x"]]
    called_alike = patients_of(["a", "b", "c"], {"a": "c", "b": "c"})
    assert called_alike.groups("abc") == [["a", "b"], ["c"]]


def test_the_suspicion_gives_the_entry_to_write() -> None:
    problem, remedy = suspicion(patients_of(["001_a", "001_b", "002_a", "002_b"], {}).suspected)
    assert problem == (
        "the names of 4 cases look like several scans of one patient each (001: 001_a, 001_b; 002: 002_a, 002_b)")
    assert '"groups": {"001": ["001_a", "001_b"], "002": ["002_a", "002_b"]}' in remedy and "ignore this" in remedy


def test_long_lists_are_shortened_and_counted() -> None:
    many = {f"p{number}": tuple(f"p{number}_{scan}" for scan in range(9)) for number in range(4)}
    assert listed_patients(many) == (
        "p0: p0_0, p0_1, p0_2, p0_3, ...; p1: p1_0, p1_1, p1_2, p1_3, ...; p2: p2_0, p2_1, p2_2, p2_3, ...; "
        "... 4 patients in all")
