"""Weights that a training takes from a trained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from autoseg.dataset import Labels
from autoseg.errors import AutosegError
from autoseg.networks import NETWORKS, build_network
from autoseg.plan import Topology
from autoseg.tasks.segmentation import pretrained
from autoseg.tasks.segmentation.model import ModelDescription
from autoseg.tasks.segmentation.pretrained import Match, Pretrained, have_same_heads, match_channels
from autoseg.trainers.segmentation.pretrained import sized_by, transferred
from autoseg.workspace import ModelFolder

SIZE = (8, 8, 8)
CLASSES = 3


def topology(name: str, norm: str = "instance", deep_supervision: bool = True) -> Topology:
    return Topology.model_validate({
        "name": name, "features": (4, 6), "strides": ((1, 1, 1), (2, 2, 2)), "kernel_sizes": ((3, 3, 3),) * 2,
        "convs_per_stage": (1, 1), "norm": norm, "deep_supervision": deep_supervision})


def model_of(describe: Callable[..., ModelDescription], its: Topology, channels: int) -> ModelDescription:
    """A model of channels "channel0", "channel1", ... with this network."""
    said = describe(channels, CLASSES)
    configuration = said.configuration.model_copy(update={"network": its})
    return said.model_copy(update={"plans": said.plans.model_copy(update={"configurations": {"tiny": configuration}})})


def networks(
    describe: Callable[..., ModelDescription], its: Topology, channels: int, match: Match, classes: int = CLASSES,
    takes_heads: bool = True,
) -> tuple[nn.Module, nn.Module, dict[str, torch.Tensor]]:
    """The model's network, one that started from it, and the weights that this one had before."""
    model = model_of(describe, its, channels)
    torch.manual_seed(0)
    theirs, ours = model.build(), build_network(its, len(match), classes)
    before = {name: values.clone() for name, values in ours.state_dict().items()}
    ours.load_state_dict(
        transferred(ours.state_dict(), theirs.state_dict(), its, (len(match), classes), model, match, takes_heads))
    return theirs.eval(), ours.eval(), before


@torch.inference_mode()
@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_new_channel_changes_nothing_at_first_whatever_it_holds(
    describe: Callable[..., ModelDescription], name: str, norm: str
) -> None:
    """Channels: the model's second, a new one, the model's first."""
    theirs, ours, _ = networks(describe, topology(name, norm), 2, (1, None, 0))
    image = torch.randn(2, 3, *SIZE) * torch.tensor([1.0, 1e3, 1.0])[:, None, None, None]
    expected = theirs(image[:, [2, 0]])[0]
    torch.testing.assert_close(ours(image)[0], expected)
    image[:, 1] = -7
    torch.testing.assert_close(ours(image)[0], expected)


@torch.inference_mode()
@pytest.mark.parametrize("name", NETWORKS)
def test_a_channel_that_is_gone_is_as_if_it_were_zero(describe: Callable[..., ModelDescription], name: str) -> None:
    theirs, ours, _ = networks(describe, topology(name), 2, (0,))
    image = torch.randn(2, 1, *SIZE)
    torch.testing.assert_close(ours(image)[0], theirs(torch.cat((image, torch.zeros_like(image)), 1))[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_new_heads_keep_their_own_weights_and_all_else_is_the_models(
    describe: Callable[..., ModelDescription], name: str
) -> None:
    theirs, ours, before = networks(describe, topology(name), 1, (0,), classes=5, takes_heads=False)
    now, its = ours.state_dict(), theirs.state_dict()
    of_heads = {key for key in now if key.startswith("heads.")}
    assert len(of_heads) >= 2
    for key, values in now.items():
        assert torch.equal(values, before[key] if key in of_heads else its[key]), key
    _, of_classes = sized_by(topology(name), 1, 5)
    assert of_classes == of_heads


def test_heads_of_lower_levels_may_be_there_or_not(describe: Callable[..., ModelDescription]) -> None:
    with_heads, without = topology("unet3plus"), topology("unet3plus", deep_supervision=False)
    for its, other in ((with_heads, without), (without, with_heads)):
        model = model_of(describe, its, 1)
        theirs, ours = model.build().state_dict(), build_network(other, 1, CLASSES).state_dict()
        found = transferred(ours, theirs, other, (1, CLASSES), model, (0,), True)
        assert found.keys() == ours.keys()
        assert torch.equal(found["heads.0.weight"], theirs["heads.0.weight"])


def test_weights_that_do_not_fit_are_named(describe: Callable[..., ModelDescription]) -> None:
    model = model_of(describe, topology("unet"), 1)
    theirs, ours = model.build().state_dict(), build_network(topology("unet"), 1, CLASSES).state_dict()
    theirs["up.0.weight"] = theirs["up.0.weight"][:2]
    with pytest.raises(AutosegError, match=r"do not fit .* up\.0\.weight\. Choose"):
        transferred(ours, theirs, topology("unet"), (1, CLASSES), model, (0,), True)
    del theirs["up.0.weight"]
    with pytest.raises(AutosegError, match=r"do not fit .* up\.0\.weight\. Choose"):
        transferred(ours, theirs, topology("unet"), (1, CLASSES), model, (0,), True)


@pytest.mark.parametrize(("ours", "theirs", "match"), [
    (("T1", "T2"), ("T1", "T2"), (0, 1)),
    (("t2", "FLAIR", "T1"), ("T1", "T2"), (1, None, 0)),
    (("MRI",), ("CT",), (0,)),  # none by name: by position
    (("a", "b"), ("c",), (0, None)),
    (("T1",), ("T1", "T2"), (0,)),
    (("MRI", "MRI", "MRI"), ("MRI", "MRI"), (0, 1, None)),
])
def test_channels_are_matched_by_name_or_all_by_position(ours: tuple[str, ...], theirs: tuple[str, ...], match: Match) -> None:
    assert match_channels(ours, theirs) == match


def test_heads_are_the_same_where_each_output_means_the_same() -> None:
    plain = Labels(values={"background": 0, "a": 1, "b": 2})
    assert have_same_heads(plain, Labels(values={"background": 0, "b": 2, "a": 1}))  # outputs go by value
    assert have_same_heads(plain, Labels(values={"background": 0, "a": 1, "b": 2, "ignore": 3}, ignore=3))
    assert not have_same_heads(plain, Labels(values={"background": 0, "a": 2, "b": 1}))
    assert not have_same_heads(plain, Labels(values={"background": 0, "a": 1, "b": 2, "c": 3}))
    whole = Labels(values={"background": 0, "whole": (1, 2), "core": 2, "rim": 3}, regions_class_order=(1, 2, 3))
    other = Labels(values={"background": 0, "rim": 3, "whole": (1, 2), "core": 2}, regions_class_order=(3, 1, 2))
    assert have_same_heads(whole, whole)
    assert not have_same_heads(whole, other)  # outputs go by order
    assert not have_same_heads(plain, whole)


@pytest.mark.parametrize(("folds", "fold", "source"), [
    (("0", "1", "2"), "1", "1"), (("0", "all"), "1", "all"), (("2", "3"), "1", "2"), (("0", "all"), "all", "all"),
    (("0",), "all", "0"),
])
def test_a_fold_starts_from_its_like_or_from_all_cases_or_from_the_first(
    describe: Callable[..., ModelDescription], save_model: Callable[..., ModelFolder], tmp_path: Path, folds: tuple[str, ...],
    fold: str, source: str
) -> None:
    assert Pretrained.at(str(save_model(tmp_path, describe(), folds).root)).fold_for(fold) == source


def test_no_training_starts_from_the_second_stage_of_a_cascade(
    describe: Callable[..., ModelDescription], save_model: Callable[..., ModelFolder], tmp_path: Path
) -> None:
    said = describe()
    second = said.configuration.model_copy(update={"previous_stage": "3d_lowres"})
    folder = save_model(tmp_path, said.model_copy(
        update={"plans": said.plans.model_copy(update={"configurations": {"tiny": second}})}))
    with pytest.raises(AutosegError, match="is the second stage of a cascade, and no training starts from one"):
        Pretrained.at(str(folder.root))


def test_a_model_of_nnunets_is_opened_where_it_lies(shared_data: Path) -> None:
    plain = shared_data / "nnunet_models" / "plain"
    found = Pretrained.at(str(plain / "nnUNetTrainer__nnUNetPlans__3d_fullres"))
    labels = Labels(values={"background": 0, "Anterior": 1, "Posterior": 2})
    record = found.record(found.description.channel_names, labels)
    assert (record.configuration, record.heads, set(record.weights)) == ("3d_fullres", "taken", {"0", "1"})
    assert Pretrained.at(found.path).folder == found.folder, "opened once"
    pretrained._opened.clear()
    again = Pretrained.at(found.path)  # as in another process
    assert again.folder != found.folder and again.record(again.description.channel_names, labels) == record
    with pytest.raises(AutosegError, match=r"holds 2 models, and a training starts from one\. .*autoseg import"):
        Pretrained.at(str(plain))
