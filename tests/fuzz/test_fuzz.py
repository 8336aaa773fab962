"""Nothing that a file, a document or a flag says brings autoseg down: the corpus, and a fixed number of changed files."""

from __future__ import annotations

import os
import sys

import pytest

from tests.fuzz.attempt import BAD, Outcome
from tests.fuzz.kinds import cases, targets
from tests.fuzz.pool import DEFAULT_READER, Job, carried_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory, FIFOs and devices are Linux's")
# What does harm today: each name goes as soon as its fault is mended
WAITING = """
nrrd_long_line nrrd_long_key nrrd_long_number nrrd_many_lines mha_negative_dimensions mha_many_dimensions
mhd_negative_dimensions mha_long_line mha_long_list mha_bad_checksum mha_bad_stream mgz_bad_checksum mgz_bad_length png_bad_crc
png_bad_end_crc tiff_short_tile_table nii_bitpix nii_gz_bitpix nii_fewer_rows jpeg_taller jpeg_wider nrrd_sizes_1e308
nrrd_too_long mha_too_long png_too_few_rows png_too_many_rows tiff_pages_loop nii_gz_far_offset tiff_strip_is_itself
tiff_own_subdirectory fifo_nii fifo_nrrd fifo_mha fifo_png fifo_tif fifo_mgz device_nrrd fifo_mhd device_mhd folder_mhd
fifo_nhdr device_nhdr mhd_stdin mhd_passwd mhd_absolute mhd_upward nhdr_absolute nhdr_upward nhdr_passwd mhd_pattern nrrd_huge
nrrd_gzip_huge mha_huge mgh_huge mgz_huge mgh_zeros mgz_zeros tiff_30000_bits tiff_0_bits png_no_palette png_short_palette
mha_text mha_short name_not_utf8_nrrd_raw name_not_utf8_mha_raw store_fifo plans_deep_lists plans_deep_objects plans_unclosed
plans_digits plans_digits_alone fingerprint_deep_lists fingerprint_deep_objects fingerprint_unclosed fingerprint_digits
fingerprint_digits_alone splits_deep_lists splits_deep_objects splits_unclosed splits_digits splits_digits_alone
dataset_deep_lists dataset_deep_objects dataset_unclosed dataset_digits dataset_digits_alone plans_fifo plans_zero
model_deep_lists model_deep_objects model_unclosed model_digits model_digits_alone plans_spacing_huge plans_spacing_tiny
fingerprint_label_square fingerprint_label_empty dataset_labels_square dataset_labels_far command_long_dataset
command_long_workspace command_long_model command_long_input command_long_output command_loop_workspace command_fold_square
command_fold_digits command_dataset_square command_table_empty command_device_meta tiff_long_loop
"""
WAITING_CASES = set(WAITING.split())
WAITING_TARGETS = set(targets(DEFAULT_READER)) - {"store", "weights", "state"}
CASES = [name for name in cases(DEFAULT_READER) if name not in WAITING_CASES]
TARGETS = [name for name in targets(DEFAULT_READER) if name not in WAITING_TARGETS]
ATTEMPTS = 60  # per target, always the same
PROCESSES = min(4, os.cpu_count() or 1)


@pytest.fixture(scope="module")
def corpus() -> dict[str, Outcome]:
    """How each case of the corpus ends."""
    jobs = [Job(case=name) for name in CASES]
    return {job.case: outcome for job, outcome in carried_out(jobs, PROCESSES)}


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[Job, Outcome]]]:
    """How the attempts at each target end."""
    jobs = [Job(name, seed) for seed in range(ATTEMPTS) for name in TARGETS]
    found: dict[str, list[tuple[Job, Outcome]]] = {name: [] for name in TARGETS}
    for job, outcome in carried_out(jobs, PROCESSES, tmp_path_factory.mktemp("fuzz_failures")):
        found[job.target].append((job, outcome))
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_did_harm_does_none(corpus: dict[str, Outcome], name: str) -> None:
    outcome = corpus[name]
    assert outcome.verdict not in BAD, f"{outcome.verdict}: {Job(case=name).command}\n{outcome.details}"


@pytest.mark.parametrize("name", TARGETS)
def test_a_changed_file_is_read_right_or_refused(attempts: dict[str, list[tuple[Job, Outcome]]], name: str) -> None:
    bad = [
        f"{outcome.verdict}: {job.command}\n{outcome.change}\n{outcome.details}"
        for job, outcome in attempts[name]
        if outcome.verdict in BAD
    ]
    assert not bad, f"{len(bad)} of {len(attempts[name])}:\n" + "\n".join(bad[:3])
    assert len(attempts[name]) == ATTEMPTS
