"""DICOM: series read as volumes, and what is no volume; segmentations and contours, read and written."""
