"""Codes of structures: each is the standard's, and names that people give find theirs."""

from __future__ import annotations

import pytest
from pydicom.sr import _concepts_dict

from autoseg.image_io.dicom import codes
from autoseg.image_io.dicom.codes import ALTERATION, ANATOMY, BOTH, LEFT, RIGHT, TISSUE, UNKNOWN, Code, coding_of
from autoseg.image_io.dicom.common_structures import ALTERED, ANATOMICAL, TISSUES

STANDARD = {(value, scheme, meaning) for scheme, concepts in _concepts_dict.concepts.items()
            for entries in concepts.values() for value, (meaning, _) in entries.items()}


def test_every_code_is_in_the_standard_with_this_meaning() -> None:
    used = [*ANATOMICAL, *ALTERED, *TISSUES, ANATOMY, ALTERATION, TISSUE, LEFT, RIGHT, BOTH]
    assert [code for code in used if tuple(code) not in STANDARD] == []
    assert len(used) == len(set(map(tuple, used))) > 300


def test_no_name_stands_for_two_structures() -> None:
    names = [tuple(sorted(codes._words(name))) for table in (ANATOMICAL, ALTERED, TISSUES)
             for names in table.values() for name in names.split(", ")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name, value, side", [
    ("liver", "10200004", None), ("Liver", "10200004", None), ("kidney_left", "64033007", LEFT),
    ("LeftKidney", "64033007", LEFT), ("Kidney-R", "64033007", RIGHT), ("kidneys", "64033007", None),
    ("both lungs", "39607008", BOTH), ("vertebrae_L1", "66794005", None), ("Vertebra T12", "23215003", None),
    ("L1", "66794005", None), ("vertebra", "51282000", None), ("rib_left_5", "113197003", LEFT), ("ribs", "113197003", None),
    ("lung_upper_lobe_left", "45653009", LEFT), ("heart_atrium_left", "82471001", None), ("left atrium", "82471001", None),
    ("iliac_vena_right", "46027005", RIGHT), ("inferior_vena_cava", "64131007", None), ("urinary_bladder", "89837001", None),
    ("small_bowel", "30315005", None), ("adrenal_gland_right", "23451007", RIGHT), ("spinal_cord", "2748008", None),
    ("Hippocampus", "5366008", None), ("anterior hippocampus", "5366008", None), ("disc_L4_L5", "84020006", None),
    ("disk L4L5", "84020006", None), ("disc L5/S1", "715056000", None), ("grey matter", "389081007", None),
    ("oesophagus", "32849002", None), ("pancreas", "15776009", None), ("caudate_nucleus_left", "11000004", LEFT),
    ("brainstem", "119238007", None), ("prostate", "41216001", None), ("femur_left", "71341001", LEFT),
    ("scapula_right", "79601000", RIGHT), ("metastases", "14799000", None),
])
def test_names_of_anatomy_find_their_code(name: str, value: str, side: Code | None) -> None:
    found = coding_of(name)
    assert (found.type.value, found.modifier) == (value, side)


@pytest.mark.parametrize("name, meaning, side", [
    ("tumor", "Neoplasm", None), ("Tumour_2", "Neoplasm", None), ("liver tumor", "Neoplasm", None),
    ("kidney_cyst_left", "Cyst", LEFT), ("lung_lesions", "Lesion", None), ("peritumoral edema", "Edema", None),
    ("whole_tumor", "Neoplasm", None), ("cysts", "Cyst", None), ("enhancing tumor", "Enhancing Lesion", None),
    ("non-enhancing tumor", "Non-Enhancing Lesion", None), ("cancer", "Neoplasm", None),
    ("hepatic metastases", "Neoplasm, Secondary", None), ("lesion1", "Lesion", None),
])
def test_what_is_altered_is_coded_as_that_wherever_it_is(name: str, meaning: str, side: Code | None) -> None:
    found = coding_of(name)
    assert (found.category, found.type.meaning, found.modifier) == (ALTERATION, meaning, side)


@pytest.mark.parametrize("name", ["Anterior", "class 1", "", "?", "1", "left", "liver vessels", "non tumor", "muscle mass", "肝"])
def test_other_names_are_tissue(name: str) -> None:
    assert coding_of(name) == UNKNOWN


def test_tissues_are_of_their_category() -> None:
    assert (coding_of("fat").category, coding_of("gluteus_maximus_left").type.meaning) == (TISSUE, "Muscle")


def test_the_organs_of_totalsegmentator_are_all_known() -> None:
    names = [name.strip() for name in """spleen kidney_right kidney_left gallbladder liver stomach pancreas adrenal_gland_right
    adrenal_gland_left
    lung_upper_lobe_left lung_lower_lobe_left lung_upper_lobe_right lung_middle_lobe_right lung_lower_lobe_right esophagus trachea
    thyroid_gland small_bowel duodenum colon urinary_bladder prostate kidney_cyst_left kidney_cyst_right sacrum vertebrae_S1
    vertebrae_L5 vertebrae_T12 vertebrae_C1 heart aorta pulmonary_vein brachiocephalic_trunk subclavian_artery_right
    subclavian_artery_left common_carotid_artery_right brachiocephalic_vein_left atrial_appendage_left superior_vena_cava
    inferior_vena_cava iliac_artery_left iliac_vena_left humerus_left scapula_left clavicula_left femur_left hip_left spinal_cord
    gluteus_maximus_left gluteus_medius_left gluteus_minimus_left autochthon_left iliopsoas_left brain skull rib_left_1
    rib_right_12 sternum costal_cartilages""".replace("\n", " ").split(" ") if name.strip()]
    assert [name for name in names if coding_of(name) == UNKNOWN] == []
