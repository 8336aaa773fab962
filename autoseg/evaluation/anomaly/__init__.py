"""How well anomaly scores tell normal from abnormal: scores on disk, ROC, tables and figures."""
