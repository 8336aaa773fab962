"""Anomalies: how badly the closest normal slice explains a given one (AnoGAN; Schlegl et al. 2017)."""

from autoseg.task import TaskInfo

INFO = TaskInfo(
    name="anomaly", article="an", noun="anomaly detector", plural="anomaly detectors", does="scores images", outputs="SCORES",
    recipe="anogan", configurations=("slices",), usual_configuration="slices", planner="slices", suffix="_anomaly",
    needs_labels=False)
