"""Settings of trainings: those that tasks share, with unit and meaning, and how a command line writes them."""

from autoseg.settings import (
    choices_of,
    description_of,
    differences,
    flags_of,
    listed,
    parse_settings,
    with_changes,
)
from autoseg.trainers.settings.common import (
    ExpLogSettings,
    Group,
    HybridSettings,
    LossSettings,
    OptimizerSettings,
    PlateauSettings,
    SupervisionSettings,
    TrainingSettings,
)

__all__ = [
    "ExpLogSettings", "Group", "HybridSettings", "LossSettings", "OptimizerSettings", "PlateauSettings", "SupervisionSettings",
    "TrainingSettings", "choices_of", "description_of", "differences", "flags_of", "listed", "parse_settings", "with_changes",
]
