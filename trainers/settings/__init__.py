"""Settings of the recipes: what a user may turn, with unit and meaning, and how a command line writes them."""

from autoseg.settings import (
    choices_of,
    description_of,
    differences,
    flags_of,
    listed,
    parse_settings,
    with_changes,
)
from autoseg.trainers.settings.common import Group, OptimizerSettings, PlateauSettings, TrainingSettings
from autoseg.trainers.settings.segmentation import (
    ExpLogSettings,
    HybridSettings,
    Settings,
    SupervisionSettings,
    notes_on,
)

__all__ = [
    "ExpLogSettings", "Group", "HybridSettings", "OptimizerSettings", "PlateauSettings", "Settings", "SupervisionSettings",
    "TrainingSettings", "choices_of", "description_of", "differences", "flags_of", "listed", "notes_on", "parse_settings",
    "with_changes",
]
