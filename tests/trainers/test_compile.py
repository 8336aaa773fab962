"""What compile=true changes: what is called, and not the weights or what a user reads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg.errors import AutosegError
from autoseg.trainers.one_network import OneNetworkLearner
from autoseg.trainers.settings import OptimizerSettings

CPU = torch.device("cpu")
IMAGE = torch.ones(2, 1, 4, 4, 4)


def learner_of(**settings: bool) -> OneNetworkLearner:
    torch.manual_seed(0)
    return OneNetworkLearner(nn.Conv3d(1, 2, 1), OptimizerSettings(precision="float32", **settings), CPU)


def test_the_compiled_network_makes_the_steps_of_the_network_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def compile_network(network: nn.Module):
        return lambda image: calls.append(image.shape) or network(image)

    monkeypatch.setattr(torch, "compile", compile_network)
    learners = [learner_of(compile=False), learner_of(compile=True)]
    losses = [[learner.step(IMAGE, lambda logits: logits.square().mean())["loss"] for _ in range(3)] for learner in learners]
    assert losses[0] == losses[1] and len(calls) == 3
    plain, fast = (learner.state_dict()["modules"]["network"] for learner in learners)
    assert list(plain) == list(fast) == ["weight", "bias"] and torch.equal(plain["weight"], fast["weight"])


def test_a_machine_without_a_compiler_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class InvalidCxxCompiler(RuntimeError):
        __module__ = "torch._inductor.exc"

    def refuse(image: torch.Tensor) -> torch.Tensor:
        raise InvalidCxxCompiler("No working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", lambda network: refuse)
    with pytest.raises(AutosegError, match=r"could not be compiled \(No working C\+\+ compiler found\)\. Leave out"):
        learner_of(compile=True).step(IMAGE, lambda logits: logits.mean())
    monkeypatch.setattr(torch, "compile", lambda network: lambda image: nn.Conv3d(3, 2, 1)(image))
    with pytest.raises(RuntimeError, match="channels"):
        learner_of(compile=True).step(IMAGE, lambda logits: logits.mean())
