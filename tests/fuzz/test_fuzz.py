"""Nothing that a file, a document or a flag says brings autoseg down: the corpus, and a fixed number of changed files."""

from __future__ import annotations

import os
import sys

import pytest

from tests.fuzz.attempt import BAD, Outcome
from tests.fuzz.kinds import cases, targets
from tests.fuzz.pool import DEFAULT_READER, Job, carried_out

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory, FIFOs and devices are Linux's")
CASES, TARGETS = list(cases(DEFAULT_READER)), list(targets(DEFAULT_READER))
ATTEMPTS = 40  # per target, always the same
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
