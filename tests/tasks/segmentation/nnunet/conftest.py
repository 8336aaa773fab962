"""What the tests of nnU-Net's models share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.segmentation.nnunet.models import write_model


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """`write_model` into a new folder, or into `parent`."""

    def make(*arguments: Any, parent: Path | None = None, **named: Any) -> Path:
        return write_model(parent or tmp_path, *arguments, **named)

    return make
