"""Anomalies: how badly the closest normal slice explains a given one (AnoGAN; Schlegl et al. 2017)."""

from autoseg.task import TaskInfo

INFO = TaskInfo(
    name="anomaly", article="an", noun="anomaly detector", plural="anomaly detectors", does="scores images",
    writes="maps, scores.csv and panels/", outputs="SCORES",
    reference="a dataset with case_labels, with folders normal and abnormal or with label files; a folder of label files "
              "(foreground is abnormal); or a CSV file with the columns case, truth (normal or abnormal) and perhaps slice",
    recipe="anogan", configurations=("slices",), usual_configuration="slices", planner="slices", suffix="_anomaly",
    needs_labels=False)
