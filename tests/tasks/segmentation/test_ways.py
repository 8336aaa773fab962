"""Ways to predict on validation cases: the same answers as each way alone, counted network runs, and honest folds."""

from __future__ import annotations

from itertools import chain, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.best import DropSmall, Member
from autoseg.dataset import Case, Dataset
from autoseg.evaluation.case import Pair, overlap
from autoseg.evaluation.summary import evaluate_pairs
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.image_io import write_label
from autoseg.plan import Emptiness, IntensityStatistics
from autoseg.preprocessing.pipeline import preprocess_image
from autoseg.tasks.segmentation import ways
from autoseg.tasks.segmentation.member import EnsembleMember
from autoseg.tasks.segmentation.model import LoadedModel, ModelDescription
from autoseg.tasks.segmentation.predictor import Predictor
from autoseg.tasks.segmentation.store import plans_digest, write_volume
from autoseg.ways import OnCase, Way
from autoseg.workspace import DatasetFolder

CPU = torch.device("cpu")
EVERY_SET = [axes for count in range(4) for axes in combinations((0, 1, 2), count)]


class Counting(nn.Module):
    """A network that counts the patches it sees. It gives the image, and more for class 1 towards the end of the last axis."""

    def __init__(self, lopsided: float = 0.0) -> None:
        super().__init__()
        self.lopsided, self.seen = lopsided, 0

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        self.seen += len(x)
        logits = x.clone()
        logits[:, 1] += self.lopsided * torch.linspace(-1, 1, x.shape[-1])
        return [logits]


class Always(nn.Module):
    """A network that finds one class everywhere."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        logits = torch.zeros_like(x)
        logits[:, self.index] = 1
        return [logits]


def random_networks(description: ModelDescription, count: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [description.build().eval() for _ in range(count)]


def random_image(shape: tuple[int, int, int], seed: int = 0) -> Image:
    return Image(np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32), Geometry((1.0, 1.0, 1.0)))


@pytest.mark.parametrize("tile_sums", ["float32", "float16"])
@pytest.mark.parametrize("patch_size", [(8, 6, 10), (8, 6)])
def test_one_pass_gives_the_same_bits_as_each_way_alone(patch_size: tuple[int, ...], tile_sums: str, describe: Any) -> None:
    axes = tuple(range(len(patch_size)))
    description = describe(2, 3, patch_size, mirror_axes=axes).model_copy(update={"tile_sums": tile_sums})
    model = LoadedModel(description, random_networks(description, 2), ("0", "1"))
    data = random_image((9, 13, 16)).array
    properties = preprocess_image(random_image((9, 13, 16)), "x", description.plans, description.configuration)[1]
    together = EnsembleMember(model, CPU, "float32", Way(step=0.65))
    sets = list(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))
    stacked = list(zip(*together.rows_of_each(data, properties, sets), strict=True))
    first_axis = 3 - len(axes)
    for index, its in enumerate(sets):
        alone = EnsembleMember(model, CPU, "float32", Way(step=0.65, axes=tuple(axis + first_axis for axis in its)))
        assert alone.mirroring.axes == its
        rows = list(alone.rows(data, properties))
        assert len(rows) == len(stacked) == 9
        assert all(np.array_equal(row[index][1], of_one) for row, (_, of_one) in zip(stacked, rows, strict=True))


@pytest.mark.parametrize(("step", "tiles"), [(0.5, 7), (0.65, 6), (0.8, 5)])
def test_network_runs_are_counted_as_they_happen(step: float, tiles: int, describe: Any) -> None:
    """32 voxels and patches of 8: 24 of them are left for steps of at most 4, 5.2 and 6.4, which takes 6, 5 and 4 steps."""
    shape = (3, 32, 8)
    data, (_, properties) = random_image(shape).array, preprocess_image(
        random_image(shape), "x", describe(2).plans, describe(2).configuration)
    for patch_size, in_all, axes in (((8, 8, 8), tiles, (0, 1, 2)), ((8, 8), 3 * tiles, (0, 1))):
        network = Counting()
        member = EnsembleMember(LoadedModel(describe(2, 2, patch_size, mirror_axes=axes), [network], ("0",)), CPU, "float32",
                                Way(step=step))
        for sets, flips in (([axes], 2 ** len(axes)), ([()], 1), ([(0,), (1,)], 3), ([axes, (), (0,)], 2 ** len(axes))):
            network.seen = 0
            for _ in zip(*member.rows_of_each(data, properties, sets), strict=True):
                pass
            assert network.seen == member.evaluations(data.shape, sets) == in_all * flips


class Job:
    """Two cases, of which each is validated by one of two folds; `networks` are those of the folds."""

    def __init__(self, root: Path, description: ModelDescription, truths: list[np.ndarray]) -> None:
        self.folder, self.description, self.loaded = DatasetFolder(root / "workspace" / "Dataset001_Tiny"), description, 0
        self.networks: list[nn.Module] = []
        self.member = Member(configuration="tiny", recipe="default", weights={"0": "a", "1": "b"})
        self.truths, cases = truths, []
        for number, truth in enumerate(truths):
            path = root / f"case_{number}.nii.gz"
            write_label(path, truth.astype(np.uint8), like=self.image(number))
            cases.append(Case(name=f"case_{number}", images=(path, path), label=path))
        self.store("tiny", description)
        self.dataset = Dataset(name="Dataset001_Tiny", folder=root, layout="nnunet", channel_names=("a", "b"),
                               labels=description.labels, file_ending=".nii.gz", training=tuple(cases), test=())

    def image(self, number: int) -> Image:
        """A case's image: its second channel is brighter than its first where its label is."""
        image = random_image((9, 13, 16), number)
        image.array[1] = np.where(self.truths[number], 0.5, -0.5)
        image.array[0] = 0
        return image

    def store(self, name: str, description: ModelDescription) -> None:
        """Preprocess the cases for a model, and describe it."""
        its, plans = description.configuration, description.plans
        write_json(self.folder.model(name, "default").model_json, description)
        for number in range(len(self.truths)):
            data, properties = preprocess_image(self.image(number), f"case_{number}", plans, its)
            write_volume(self.folder.preprocessed(name), data, np.zeros((1, *data.shape[1:]), np.int8), properties,
                         description.labels, plans=plans_digest(description.labels, plans, its))

    def load(self, model: Any, folds: list[str], device: Any) -> LoadedModel:
        self.loaded += 1
        return LoadedModel(self.description, [self.networks[int(folds[0])]], tuple(folds))

    def run(self, postprocess: Any = lambda labels, spacing_mm: labels, rules: Any = ()) -> dict[str, tuple[OnCase, ...]]:
        self.loaded = 0
        return ways.measure_ways(self.folder, self.dataset, [["case_0"], ["case_1"]], [self.member], rules, postprocess, "labels",
                                 ["cpu"], lambda share, text: None, 1)


@pytest.fixture
def job(tmp_path: Path, describe: Any, monkeypatch: pytest.MonkeyPatch) -> Job:
    truths = [np.random.default_rng(seed).random((9, 13, 16)) > 0.5 for seed in range(2)]
    made = Job(tmp_path, describe(2, 2, (8, 8, 8), mirror_axes=(0, 1, 2)), truths)
    monkeypatch.setattr(ways, "load_model", made.load)
    return made


def test_where_mirroring_matters_only_ways_with_it_are_right_and_where_it_does_not_all_are(job: Job) -> None:
    """The network knows one end of the last axis from the other; mirrored along it, that adds up to nothing."""
    job.networks = [Counting(lopsided=3.0), Counting(lopsided=3.0)]
    for found in job.run().values():
        assert len(found) == 3 * len(EVERY_SET) and found[0].way == Way(axes=(0, 1, 2))
        right = {(one.way.axes, one.dice == one.nsd == 1) for one in found}
        assert right == {(axes, 2 in axes) for axes in EVERY_SET}
    job.member = job.member.model_copy(update={"weights": {"0": "c", "1": "d"}})  # weights that the folder was not made with
    job.networks = [Counting(), Counting()]
    assert {one.dice for found in job.run().values() for one in found} == {1.0}


def test_a_case_is_only_seen_by_the_network_that_did_not_train_on_it(job: Job) -> None:
    """Fold 0 finds the class everywhere, fold 1 nowhere."""
    job.networks = [Always(1), Always(0)]
    found = job.run()
    share = float((np.random.default_rng(0).random((9, 13, 16)) > 0.5).mean())
    assert {round(one.dice, 6) for one in found["case_0"]} == {round(2 * share / (1 + share), 6)}
    assert {one.dice for one in found["case_1"]} == {0.0}


def test_costs_are_those_of_the_tiles_and_flips(job: Job) -> None:
    """Of 9, 13 and 16 voxels: 2 tiles of 8 with any step, then 3, 2 and 2, then 3, 3 and 3, with steps 0.5, 0.65 and 0.8."""
    job.networks = [Counting(), Counting()]
    tiles = {0.5: 2 * 3 * 3, 0.65: 2 * 2 * 3, 0.8: 2 * 2 * 3}
    found = job.run()["case_0"]
    counted = {(one.way.step, one.way.axes): one.evaluations for one in found}
    assert counted == {(step, axes): number * 2 ** len(axes) for step, number in tiles.items() for axes in EVERY_SET}
    assert len({one.cost / one.evaluations for one in found}) == 1
    assert isinstance(job.networks[0], Counting) and job.networks[0].seen == 8 * (18 + 12)  # 0.8 places tiles as 0.65 does


def test_what_is_empty_is_skipped_for_fewer_network_runs_where_plans_know_it(
    tmp_path: Path, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class lies in 3 of 16 voxels of the last axis: with 2 more, less than a patch: one tile, not 3."""
    truths = [np.arange(16) < 3 + np.zeros((9, 13, 16)) for _ in range(2)]
    its = describe(2, 2, (8, 8, 8))
    configuration = its.configuration.model_copy(update={"normalization": ("ct", "ct")})
    intensities = IntensityStatistics(mean=0, std=1, median=0, percentile_00_5=-9, percentile_99_5=9)
    job = Job(tmp_path, its.model_copy(update={"plans": its.plans.model_copy(update={
        "foreground_intensities": {"0": intensities, "1": intensities}, "configurations": {"tiny": configuration},
        "empty": Emptiness(levels=(9, 0.25), near_mm=1e-3, reason="")})}), truths)
    monkeypatch.setattr(ways, "load_model", job.load)
    job.networks = [Counting(), Counting()]
    found = job.run()["case_0"]
    assert {(one.way.step, one.way.skip_empty): one.evaluations for one in found} == {
        (0.5, False): 18, (0.65, False): 12, (0.8, False): 12, (0.5, True): 6, (0.65, True): 4, (0.8, True): 4}
    assert {one.dice for one in found} == {1.0} and found[0].way == Way(axes=())


def test_what_was_measured_stays_until_weights_or_rules_are_others(job: Job) -> None:
    job.networks = [Counting(), Counting()]
    before = job.run()
    assert job.loaded == 2 and job.run() == before and job.loaded == 0
    next(job.folder.ways.rglob("case_1.json")).unlink()  # as where the run was killed
    assert job.run()["case_0"] == before["case_0"] and job.loaded == 1
    nothing = job.run(lambda labels, spacing_mm: np.zeros_like(labels), [DropSmall(labels=(1,), below_ml=99)])
    assert job.loaded == 2 and {one.dice for found in nothing.values() for one in found} == {0.0}


def test_little_memory_takes_more_passes_with_the_same_answers(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.networks = [Counting(0.4), Counting(0.4)]
    before = job.run()
    job.member = job.member.model_copy(update={"weights": {"0": "c", "1": "d"}})
    monkeypatch.setattr(ways, "free_memory_bytes", lambda: 0)
    after = job.run()
    assert job.networks[0].seen == 30 * (8 + 27)  # type: ignore[union-attr]  # 27: each set's own flips
    for name, found in before.items():
        assert [(one.way, one.dice, one.nsd, one.evaluations) for one in found] == [
            (one.way, one.dice, one.nsd, one.evaluations) for one in after[name]]


def test_an_ensembles_ways_are_those_that_a_prediction_takes(
    job: Job, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every Dice is that of the labels that the two models give together in that way."""
    flat = describe(2, 2, (8, 8), mirror_axes=(0, 1))
    torch.manual_seed(0)
    loaded = {"tiny": LoadedModel(job.description, [Counting(1.5)], ("0",)),
              "flat": LoadedModel(flat, [flat.build().eval()], ("0",))}
    job.store("flat", flat)
    monkeypatch.setattr(ways, "load_model", lambda model, folds, device: loaded[model.configuration])
    members = [Member(configuration=name, recipe="default", weights={"0": name}) for name in loaded]
    found = ways.measure_ways(job.folder, job.dataset, [["case_0"]], members, (), lambda labels, spacing_mm: labels, "labels",
                              ["cpu"], lambda share, text: None, 1)["case_0"]
    assert [one.way.axes for one in found[:8]] == sorted(EVERY_SET, key=lambda axes: (-len(axes), axes))
    image, truth = job.image(0), np.random.default_rng(0).random((9, 13, 16)) > 0.5
    for one in found:
        labels = Predictor(list(loaded.values()), CPU, way=one.way).predict_image(image)
        assert one.dice == pytest.approx(2 * (labels & truth).sum() / (labels.sum() + truth.sum()))
    full = found[0]
    counts = 18 * 8, 9 * 3 * 3 * 4  # of volumes, and of 9 slices
    costs = [EnsembleMember(model, CPU).cost for model in loaded.values()]
    assert full.evaluations == sum(counts) and full.cost == sum(map(int.__mul__, counts, costs)) and costs[0] > 7 * costs[1]


def test_what_a_cascades_first_stage_costs_is_counted_in_full_for_every_way(
    job: Job, describe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first stage sees 4, 6 and 8 voxels with patches of 4: 1, 2 and 3 tiles, mirrored along one axis."""
    coarse = describe(2, 2, (4, 4, 4), mirror_axes=(1,), spacing_mm=(2.25, 13 / 6, 2.0))
    job.store("first", coarse)
    its = job.description.configuration.model_copy(update={"previous_stage": "first"})
    plans = job.description.plans.model_copy(update={"configurations": {"tiny": its}})
    write_json(job.folder.model("tiny", "default").model_json, job.description.model_copy(update={"plans": plans}))
    monkeypatch.setattr(ways, "previous_predictions", lambda *_: {})  # the network looks at the image alone
    job.networks = [Counting(), Counting()]
    for one in job.run()["case_0"]:
        tiles = {0.5: 18, 0.65: 12, 0.8: 12}[one.way.step]
        assert one.evaluations == tiles * 2 ** len(one.way.axes or ()) + 2 * (1 * 2 * 3)


def test_a_2d_and_a_3d_model_mirror_the_same_axes_of_the_volume(describe: Any) -> None:
    members = [EnsembleMember(LoadedModel(describe(2, 2, patch, mirror_axes=axes), [], ()), CPU)
               for patch, axes in (((8, 8), (0, 1)), ((8, 8, 8), (0, 2)))]
    assert ways.sets_of_axes(members)[0] == (0, 1, 2) and len(ways.sets_of_axes(members)) == 8
    assert [[member.mirrored(axes) for member in members] for axes in ((0, 1, 2), (0,), (1, 2), ())] == [
        [(0, 1), (0, 2)], [(), (0,)], [(0, 1), (2,)], [(), ()]]


def test_the_record_tells_ways_apart_also_of_a_cascades_first_stage(describe: Any, tmp_path: Path) -> None:
    model = LoadedModel(describe(2, 2, mirror_axes=(0, 1, 2)), [Counting()], ("0",))
    its = model.description.configuration.model_copy(update={"previous_stage": "first"})
    plans = model.description.plans.model_copy(update={"configurations": {"tiny": its}})
    second = LoadedModel(model.description.model_copy(update={"plans": plans}), [Counting()], ("0",))
    ways_of_both = [(Way(), Way()), (Way(axes=(0,)), Way()), (Way(axes=()), Way()), (Way(axes=()), Way(axes=())),
                    (Way(step=0.8), Way()), (Way(step=0.8), Way(step=0.8))]
    origins = [Predictor([second], CPU, way=way, previous=[Predictor([model], CPU, way=first)]).outputs(tmp_path).origin.digest
               for way, first in ways_of_both]
    assert len(set(origins)) == len(ways_of_both)
    full = Predictor([model], CPU, way=Way(axes=(0, 1, 2))).outputs(tmp_path).origin
    assert full == Predictor([model], CPU).outputs(tmp_path).origin  # the same answers


def test_overlap_is_what_evaluation_says(describe: Any, tmp_path: Path) -> None:
    labels, image = describe(1, 4).labels, random_image((6, 9, 7))
    reference, prediction = (np.random.default_rng(seed).integers(0, 3, (6, 9, 7)).astype(np.uint8) for seed in (0, 1))
    files = [tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"]
    for file, array in zip(files, (reference, prediction), strict=True):
        write_label(file, array, like=image)
    case = evaluate_pairs([Pair("a", *files)], labels, workers=1).metric_per_case[0]
    dice, nsd = overlap(reference, prediction, labels, (1.0, 1.0, 1.0), 2.0)
    assert dice == pytest.approx(case.mean_dice) and nsd == pytest.approx(np.nanmean([of["NSD"] for of in case.metrics.values()]))
    assert all(np.isnan(overlap(0 * reference, 0 * prediction, labels, (1.0, 1.0, 1.0), 2.0)))
