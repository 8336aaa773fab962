"""Classification: the class of a whole case, from its image and from covariates, with a probability for each class."""

from autoseg.task import TaskInfo

INFO = TaskInfo(
    name="classification", article="a", noun="classifier", plural="classifiers", does="tells the class of images",
    writes="classes.csv", outputs="CLASSES", reference="a table of the true classes", recipe="classifier",
    configurations=("classes",), usual_configuration="classes", planner="classification", suffix="_classification",
    needs_labels=False, averages=True)
