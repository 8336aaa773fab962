"""Settings of trainings: those that tasks share, with unit and meaning, and how a command line writes them."""

from autoseg.settings import (
    choices_of,
    chosen_settings,
    description_of,
    differences,
    flags_of,
    listed,
    with_changes,
)
from autoseg.trainers.settings.common import (
    BatchSettings,
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
    "BatchSettings", "ExpLogSettings", "Group", "HybridSettings", "LossSettings", "OptimizerSettings", "PlateauSettings",
    "SupervisionSettings", "TrainingSettings", "choices_of", "chosen_settings", "description_of", "differences", "flags_of",
    "listed", "with_changes",
]
