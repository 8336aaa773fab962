"""Packaging: four top-level folders, installed under one name so that nothing generic lands in site-packages."""

from pathlib import Path

from setuptools import setup

FOLDERS = {
    "autoseg": "autoseg",
    "autoseg.planners": "planners",
    "autoseg.trainers": "trainers",
    "autoseg.postprocessing": "postprocessing",
}


def packages_of(name: str, folder: str) -> dict[str, str]:
    """The package in `folder` and its subpackages, by import name. The links from autoseg/ are not followed."""
    found = {name: folder}
    for path in sorted(Path(folder).iterdir()):
        if path.is_dir() and not path.is_symlink() and (path / "__init__.py").exists():
            found.update(packages_of(f"{name}.{path.name}", str(path)))
    return found


PACKAGES: dict[str, str] = {}
for package_name, package_folder in FOLDERS.items():
    PACKAGES.update(packages_of(package_name, package_folder))

# pydicom reads and writes files, highdicom makes segmentation objects, GDCM unpacks all compressed transfer syntaxes (one library
# of a free licence for all of them; pylibjpeg's for lossless JPEG is GPL). dcmqi, in tests alone, reads what we wrote.
DICOM = ["pydicom>=3.0", "highdicom>=0.25", "python-gdcm>=3.0.24"]

setup(
    name="autoseg",
    version="0.1.0",
    description="Auto-configuring medical image segmentation: from a folder of images and labels to a model",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=sorted(PACKAGES),
    package_dir=PACKAGES,
    package_data={"autoseg": ["py.typed"], "autoseg.reporting": ["template.html"]},
    install_requires=[
        "torch>=2.6,!=2.9.*",
        "numpy>=1.26",
        "scipy>=1.11",
        "batchgenerators>=0.25.5",
        "acvl-utils>=0.2.6",
        "connected-components-3d>=3.12",
        "SimpleITK>=2.3",
        "nibabel>=5.2",
        "blosc2>=3.0",
        "safetensors>=0.4.3",
        "pydantic>=2.11",
        "rich>=13",
        "matplotlib>=3.10",
        "jinja2>=3.1",
        "tifffile>=2024.1",
        "pillow>=10",
        "psutil>=5.9",
    ],
    extras_require={
        "dev": ["pytest", "pytest-xdist", "ruff", "mypy", "scikit-image", "build", "dcmqi", "submitit>=1.5", "captum>=0.8",
                *DICOM],
        "cluster": ["submitit>=1.5"],  # submits jobs to SLURM
        "dicom": DICOM,
        "explain": ["captum>=0.8"],  # --explain: maps of what networks look at
        "openvino": ["openvino>=2026.0"],  # runs networks on a CPU; 180 MB, so that it is not in dev
        "onnx": ["onnx>=1.16", "onnxscript>=0.5", "onnxruntime>=1.18"],  # torch writes with the first two, the third checks
    },
    entry_points={
        "console_scripts": [
            "autoseg = autoseg.cli.main:main",
            "autoseg_plan_and_preprocess = autoseg.cli.plan_and_preprocess:main",
            "autoseg_train = autoseg.cli.train:main",
            "autoseg_predict = autoseg.cli.predict:main",
        ]
    },
)
