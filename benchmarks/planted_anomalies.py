"""A measure of how well `anogan` finds blobs planted into normal slices, beside trivial baselines, and of its search's cost.

usage: python benchmarks/planted_anomalies.py DATASET FOLDER [--epochs 125] [--steps 500] [--parts table saving timing]

DATASET is a folder in nnU-Net's layout whose volumes count as normal, such as lumbar spines in MRI. Every fifth case is held out;
the others are cut into sagittal slices and a detector with an encoder is trained on all of them (in FOLDER, where a second run
goes on). Of the held-out cases every second slice is taken; a random half of them is scored as it is, the other with a disc: of
known diameter (mm) and contrast (share of the case's own range from its 0.5 to its 99.5 percentile, bright or dark), anywhere in
the body, the same place for all sizes and contrasts. Printed are, for each size and contrast, the AUROC of planted against
untouched slices, the mean of the AUROCs within each case (patients differ), and how often the highest pixel of the map lies in
the disc: for the detector and, on the very same slices, for

- mean: distance of the slice's mean intensity from that of the training slices,
- mean slice: sum of |x - mean training slice|,
- PCA: sum of |x - its reconstruction from as many principal components as the detector has latent entries|.

The first row has discs of no size: the AUROC that these two sets of slices have by chance.

Part saving: what the encoder saves, by the AUROC of the largest discs of strong contrast after so many updates of the search,
with and without it. Part timing: seconds per slice of 500 and of 5000 updates without early stop, with and without the encoder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from autoseg import plan_slices, train
from autoseg.dataset import Case, load_dataset, read_case
from autoseg.evaluation.roc import auroc
from autoseg.files import write_json
from autoseg.image import Image
from autoseg.intensities import IntensityWindow
from autoseg.tasks.anomaly import INFO as ANOMALY
from autoseg.tasks.anomaly.cutting import cut_image
from autoseg.tasks.anomaly.detector import AnomalyDetector
from autoseg.tasks.anomaly.model import LoadedDetector, load_detector
from autoseg.tasks.anomaly.plan import CONFIGURATION, SlicePlans
from autoseg.tasks.anomaly.store import open_slices
from autoseg.workspace import Workspace, read_model

NAME = "Dataset902_NormalSlices"
HELD_OUT = 5  # every so many cases one
EVERY = 2  # slices along the axis: one is taken
DIAMETERS_MM = (10, 20, 40)
CONTRASTS = (0.25, 0.5, 1.0, -0.25, -0.5)
BODY = 0.15  # share of the case's range above which a voxel belongs to the body
MARGIN_MM = 12
SEED = 1


@dataclass
class Slices:
    """images: (N, C, S, S) float32, -1 to 1. discs: (N, S, S) bool; nothing in slices as they are. cases: (N,) numbers."""

    images: np.ndarray
    discs: np.ndarray
    cases: np.ndarray


@dataclass
class Scored:
    """The scores of N slices, by method. score: (N,). hit: (N,), whether the map's highest pixel lies in the disc. updates: of
    the search, mean."""

    score: dict[str, np.ndarray]
    hit: dict[str, np.ndarray]
    updates: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=125)
    parser.add_argument("--steps", type=int, default=500, help="updates of the search, at most (default: 500)")
    parser.add_argument("--parts", nargs="+", choices=("table", "saving", "timing"), default=("table", "saving"))
    flags = parser.parse_args()
    source = load_dataset(flags.dataset)
    held_out = source.training[::HELD_OUT]
    detector, plans, seen = trained(normal_dataset(source.training, held_out, source.channel_names, flags.folder),
                                    flags.folder, flags.epochs)
    volumes = {case.name: read_case(case, source)[0] for case in held_out}
    normal = untouched(volumes, plans)
    if "table" in flags.parts:
        conditions = [(0, 0.0), *((mm, contrast) for mm in DIAMETERS_MM for contrast in CONTRASTS)]
        planted = {(mm, contrast): with_discs(volumes, plans, mm, contrast) for mm, contrast in conditions}
        print_table(detector, Baselines(seen, detector.description.gan.latent), normal, planted, flags.steps)
    if "saving" in flags.parts:
        strong = [with_discs(volumes, plans, max(DIAMETERS_MM), contrast) for contrast in CONTRASTS if abs(contrast) >= 0.5]
        print_saving(detector, normal, strong, flags.steps)
    if "timing" in flags.parts:
        time_search(detector, normal.images)


def normal_dataset(cases: Sequence[Case], held_out: Sequence[Case], channels: Sequence[str], folder: Path) -> Path:
    """A dataset of all cases but those held out, each called normal; images stay where they are."""
    chosen = [case for case in cases if case not in held_out]
    write_json(folder / NAME / "dataset.json", {
        "channel_names": {str(index): name for index, name in enumerate(channels)}, "labels": {"background": 0},
        "file_ending": ".nii.gz", "case_labels": {case.name: "normal" for case in chosen},
        "dataset": {case.name: {"images": [str(path) for path in case.images], "label": None} for case in chosen}})
    return folder / NAME


def trained(dataset: Path, folder: Path, epochs: int) -> tuple[LoadedDetector, SlicePlans, np.ndarray]:
    """The detector, its plans, and the slices (N, C, S, S) that it was trained on."""
    place = folder / "workspace"
    plan_slices(dataset, axis="sagittal", workspace=place, quiet=True)
    train(dataset, "all", recipe="anogan", epochs=epochs, settings={"encoder": True}, workspace=place)
    home = Workspace.at(place).dataset(NAME)
    plans = read_model(home.plans_of(ANOMALY), SlicePlans)
    stored = [open_slices(home.preprocessed(CONFIGURATION), case.name) for case in plans.source.training]
    seen = np.concatenate([case.read()[np.array(case.normal)] for case in stored])
    return load_detector(home.model(CONFIGURATION, "anogan"), ["all"], torch.device("cpu")), plans, seen


def untouched(volumes: dict[str, Image], plans: SlicePlans) -> Slices:
    """The half of the slices that stay as they are."""
    images = []
    for number, (name, image) in enumerate(volumes.items()):
        slices = cut_image(image, name, plans).slices
        images.append(slices[halves(len(slices), number)[0]])
    together = np.concatenate(images)
    return Slices(together, np.zeros((len(together), *together.shape[2:]), bool), numbers_of(images))


def halves(count: int, case: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the slices of a case that stay, and those that get a disc: indices, drawn once for all sizes and contrasts."""
    taken = np.random.default_rng((SEED, case, count)).permutation(np.arange(0, count, EVERY))
    return np.sort(taken[::2]), np.sort(taken[1::2])


def with_discs(volumes: dict[str, Image], plans: SlicePlans, diameter_mm: float, contrast: float) -> Slices:
    """The other half of the slices, each with one disc."""
    images, discs = [], []
    for number, (name, image) in enumerate(volumes.items()):
        volume = image.array.astype(np.float32)
        low, high = np.percentile(volume[volume != 0], (0.5, 99.5))
        placement = cut_image(image, name, plans).placement
        marks = np.zeros_like(volume)
        view, mark_view = placement.view(volume[0]), placement.view(marks[0])
        spacing = [image.geometry.spacing_mm[axis] for axis in (placement.rows_axis, placement.columns_axis)]
        rng = np.random.default_rng((SEED, number))
        chosen = halves(placement.count, number)[1]
        for index in chosen:
            disc = disc_in(view[index] > low + BODY * (high - low), spacing, diameter_mm, rng)
            changed = np.clip(view[index] + disc * contrast * (high - low), low, high)
            view[index][...] = np.where(disc > 0, changed, view[index])
            mark_view[index][...] = disc
        images.append(cut_image(Image(volume, image.geometry), name, plans).slices[chosen])
        discs.append(marked(marks, image, name, plans)[chosen])
    return Slices(np.concatenate(images), np.concatenate(discs), numbers_of(images))


def numbers_of(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.repeat(np.arange(len(images)), [len(of_case) for of_case in images])


def marked(marks: np.ndarray, image: Image, name: str, plans: SlicePlans) -> np.ndarray:
    """Return which pixels of each slice lie in the disc by half or more, (N, S, S) bool. marks: (1, Z, Y, X), 0 to 1."""
    from_0_to_1 = plans.model_copy(update={"windows": (IntensityWindow(low=0, high=1),) * plans.channels})
    return cut_image(Image(np.repeat(marks, plans.channels, 0), image.geometry), name, from_0_to_1).slices[:, 0] >= 0


def disc_in(body: np.ndarray, spacing_mm: Sequence[float], diameter_mm: float, rng: np.random.Generator) -> np.ndarray:
    """A disc (H, W) float32, 0 to 1 with an edge of one millimetre, centred on a voxel of the body away from the border."""
    margins = [int(MARGIN_MM / mm) for mm in spacing_mm]
    inner = np.zeros_like(body)
    inner[margins[0]:-margins[0], margins[1]:-margins[1]] = True
    places = np.argwhere(body & inner)
    centre = places[int(rng.random() * len(places))]
    rows, columns = np.indices(body.shape)
    distance_mm = np.hypot((rows - centre[0]) * spacing_mm[0], (columns - centre[1]) * spacing_mm[1])
    return np.clip(diameter_mm / 2 + 0.5 - distance_mm, 0, 1).astype(np.float32)


class Baselines:
    """The baselines that need no network, fitted to the training slices (N, C, S, S)."""

    def __init__(self, seen: np.ndarray, components: int) -> None:
        flat = torch.from_numpy(seen.reshape(len(seen), -1))
        self.mean_intensity, self.mean_slice = float(flat.mean()), flat.mean(0)
        torch.manual_seed(SEED)
        self.components = torch.pca_lowrank(flat - self.mean_slice, components, center=False, niter=4)[2]

    def maps(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """|x - what the method expects|, (N, values)."""
        flat = torch.from_numpy(images.reshape(len(images), -1)) - self.mean_slice
        return {"mean slice": flat.abs().numpy(), "PCA": (flat - flat @ self.components @ self.components.T).abs().numpy()}

    def score(self, slices: Slices) -> Scored:
        maps = self.maps(slices.images)
        mean = np.abs(slices.images.mean((1, 2, 3)) - self.mean_intensity)
        return Scored({"mean": mean, **{name: values.sum(1) for name, values in maps.items()}},
                      {name: hits(values.reshape(slices.images.shape).mean(1), slices.discs) for name, values in maps.items()})


def score(detector: LoadedDetector, slices: Slices, **changed: object) -> Scored:
    """By the detector, its search settings changed."""
    search = detector.description.search.model_copy(update=changed)
    found = AnomalyDetector(detector, torch.device("cpu"), search).score_slices(
        slices.images, np.zeros(len(slices.images), bool), SEED)
    return Scored({"AnoGAN": found.score, "residual": found.residual, "discrimination": found.discrimination},
                  {"AnoGAN": hits(found.maps, slices.discs)}, float(found.steps.mean()))


def hits(maps: np.ndarray, discs: np.ndarray) -> np.ndarray:
    """Tell whether the highest pixel of each map (N, S, S) lies in its disc."""
    flat = maps.reshape(len(maps), -1)
    return discs.reshape(len(discs), -1)[np.arange(len(flat)), flat.argmax(1)]


def area(normal: np.ndarray, planted: np.ndarray) -> float:
    return auroc(np.concatenate([normal, planted]), np.arange(len(normal) + len(planted)) >= len(normal))


def area_within(normal: np.ndarray, planted: np.ndarray, of_normal: np.ndarray, of_planted: np.ndarray) -> float:
    """Mean of the cases' own areas. of_normal, of_planted: case of each slice."""
    return float(np.mean([area(normal[of_normal == case], planted[of_planted == case]) for case in np.unique(of_normal)]))


def print_table(
    detector: LoadedDetector, baselines: Baselines, normal: Slices, planted: dict[tuple[int, float], Slices], steps: int
) -> None:
    methods = ("AnoGAN", "residual", "discrimination", "mean", "mean slice", "PCA")
    of_normal = {**score(detector, normal, search_steps=steps).score, **baselines.score(normal).score}
    first = next(iter(planted.values()))
    print(f"{len(baselines.mean_slice)} values a slice; {len(normal.images)} untouched slices against {len(first.images)} with a "
          f"disc, of {steps} updates at most\n")
    print("| disc, mm | contrast | " + " | ".join(methods) + " | within case: AnoGAN | mean slice | PCA | in disc: AnoGAN "
          "| mean slice | PCA | chance |")
    print("|---|---|" + "---|" * (len(methods) + 7))
    for (diameter_mm, contrast), slices in planted.items():
        ours, theirs = score(detector, slices, search_steps=steps), baselines.score(slices)
        scores, hit = {**ours.score, **theirs.score}, {**ours.hit, **theirs.hit}
        cells = [f"{area(of_normal[name], scores[name]):.2f}" for name in methods]
        cells += [f"{area_within(of_normal[name], scores[name], normal.cases, slices.cases):.2f}"
                  for name in ("AnoGAN", "mean slice", "PCA")]
        cells += [f"{hit[name].mean():.0%}" for name in ("AnoGAN", "mean slice", "PCA")] + [f"{slices.discs.mean():.1%}"]
        print(f"| {diameter_mm} | {contrast:+g} | " + " | ".join(cells) + " |", flush=True)


def print_saving(detector: LoadedDetector, normal: Slices, planted: Sequence[Slices], steps: int) -> None:
    together = Slices(*(np.concatenate([getattr(slices, field.name)[::2] for slices in planted]) for field in fields(Slices)))
    print("\n| updates at most | start | mean updates | AUROC | mean score of untouched slices | seconds per slice |")
    print("|---|---|---|---|---|---|")
    for start in ("random", "encoder"):
        for most in (0, 20, 50, 100, 200, steps):
            begun = time.perf_counter()
            of_normal, of_planted = (score(detector, slices, search_steps=most, start=start) for slices in (normal, together))
            value = area(of_normal.score["AnoGAN"], of_planted.score["AnoGAN"])
            per_slice = (time.perf_counter() - begun) / (len(normal.images) + len(together.images))
            print(f"| {most} | {start} | {of_planted.updates:.0f} | {value:.3f} | {of_normal.score['AnoGAN'].mean():.0f} | "
                  f"{per_slice:.3f} |", flush=True)


def time_search(detector: LoadedDetector, images: np.ndarray) -> None:
    """A case's slices as one batch, every update done."""
    images = images[:64]
    print(f"{len(images)} slices at once, {torch.get_num_threads()} threads\n\n| updates | start | seconds per slice |")
    print("|---|---|---|")
    for steps in (500, 5000):
        for start in ("random", "encoder"):
            search = detector.description.search.model_copy(
                update={"search_steps": steps, "start": start, "patience": steps + 1})
            begun = time.perf_counter()
            AnomalyDetector(detector, torch.device("cpu"), search).score_slices(images, np.zeros(len(images), bool), SEED)
            print(f"| {steps} | {start} | {(time.perf_counter() - begun) / len(images):.3f} |", flush=True)


if __name__ == "__main__":
    main()
