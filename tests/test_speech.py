"""Messages name flags in a terminal, and arguments in Python."""

from __future__ import annotations

import pytest

from autoseg.errors import AutosegError
from autoseg.speech import called_from_python, in_python, spoken


@pytest.mark.parametrize(("message", "in_words"), [
    ("Finish it with --continue, or start anew with --restart.", "Finish it with resume=True, or start anew with restart=True."),
    ("Choose another folder with -o, or replace it with --overwrite.",
     "Choose another folder with output=, or replace it with overwrite=True."),
    ("Use fewer processes (-np 1), or leave the case out with --skip-bad-cases.",
     "Use fewer processes (workers=1), or leave the case out with skip_bad_cases=True."),
    ("name another model with -c, -tr or -m.", "name another model with configuration=, recipe= or model=."),
    ("Use --device cpu. Take --set start=random, or lower it with --set learning_rate=.",
     "Use device='cpu'. Take start=random in settings, or lower it with learning_rate in settings."),
    ("--gate-percentile is 0; --no-mirroring is faster.", "gate_percentile= is 0; mirroring=False is faster."),
    ("Run: autoseg_train D 0 --restart -c 2d", "Run: autoseg_train D 0 --restart -c 2d"),
    ("Run: autoseg find-best DATASET, or give a best.json with --rules.",
     "Run: autoseg find-best DATASET, or give a best.json with rules=."),
    ("Remove it: autoseg_train with --continue, makes it again. `autoseg recipes` explains them.",
     "Remove it: autoseg_train with --continue, makes it again. autoseg.recipes() explains them."),
    ("/data/my-c/x--y.nii.gz: 5 - 3, a well-known non-word", "/data/my-c/x--y.nii.gz: 5 - 3, a well-known non-word"),
])
def test_python_reads_arguments_and_whole_commands(message: str, in_words: str) -> None:
    assert in_python(message) == in_words
    assert spoken(message) == message  # nobody called from Python

    @called_from_python
    def verb() -> None:
        assert spoken(message) == in_words
        raise AutosegError(message)

    with pytest.raises(AutosegError) as caught:
        verb()
    assert str(caught.value) == in_words
