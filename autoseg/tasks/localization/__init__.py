"""Localization: where along an axis of the patient a level is, found in a projection of the volume."""

from autoseg.task import TaskInfo

INFO = TaskInfo(
    name="localization", article="a", noun="locator", plural="locators", does="finds a level in images",
    writes="locations.csv, pictures and crops/", outputs="LOCATIONS", reference="",
    recipe="locator", configurations=("projection",), usual_configuration="projection", planner="projection",
    planning_flags=("--find", "LABEL"), suffix="_localization")
