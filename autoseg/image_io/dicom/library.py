"""pydicom, the library that reads and writes DICOM files: an extra, quiet, and with one error for each damaged file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.image_io.checks import damaged


def require_dicom() -> None:
    """Raise AutosegError where the libraries are not installed."""
    if missing := [name for name in ("pydicom", "highdicom") if find_spec(name) is None]:
        raise AutosegError(f"DICOM needs {' and '.join(missing)}, not installed here. Install what it needs with: "
                           "pip install 'autoseg[dicom]'")


@contextmanager
def dicom_library(path: Path) -> Iterator[None]:
    """Work on the file `path` with pydicom: its warnings are not shown, its errors are an AutosegError that names the file."""
    require_dicom()
    for name in ("pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (AutosegError, MemoryError):
            raise
        except OSError as error:
            if error.strerror is None:  # the library's own words for a file that ends too early
                raise damaged(path, f"it cannot be read as DICOM ({one_line(error)})") from error
            raise AutosegError(f"{path} cannot be read: {error.strerror}.") from error
        except Exception as error:  # a parser of bytes that anyone may have written: what it can raise is written nowhere
            raise damaged(path, f"it cannot be read as DICOM ({one_line(error)})") from error


def one_line(error: Exception) -> str:
    """Return what a library says, shortened to one line."""
    text = " ".join(str(error).split())
    return (text[:117] + "...") if len(text) > 120 else text or type(error).__name__
