"""From a folder of patients, with series of DICOM files and what was drawn on them, to a dataset."""
