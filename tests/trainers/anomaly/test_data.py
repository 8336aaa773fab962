"""What a detector's fold is trained on, the model.json that it writes, and what may not stand beside it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autoseg.errors import AutosegError
from autoseg.tasks.anomaly.dcgan import GanShape
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.trainers.anomaly import AnomalySettings, load_data
from autoseg.trainers.anomaly.data import AGREEMENT, description
from autoseg.trainers.anomaly.learner import gan_shape
from autoseg.trainers.job import Job
from autoseg.workspace import read_json, read_model

MakeJob = Callable[..., Job[AnomalySettings]]


def describe(job: Job[AnomalySettings]) -> AnomalyDescription:
    """What model.json says then."""
    assert job.settings is not None
    AGREEMENT.describe(job, description(job, load_data(job), job.settings))
    return read_model(job.model.model_json, AnomalyDescription)


def test_model_json_holds_what_scoring_needs_and_no_case(make_job: MakeJob) -> None:
    job = make_job(name="small", **{"lambda": 0.2}, spectral_norm=True, encoder=True, latent=7, features=2)
    description = describe(job)
    assert description.gan == GanShape(image_size=64, channels=1, latent=7, conv_layers=4, features=2)
    assert (description.search.lambda_, description.search.search_steps) == (0.2, 2)
    assert description.spectral_norm and description.has_encoder
    assert (description.recipe, description.called) == ("anogan", "small")
    assert AnomalySettings.model_validate(description.settings) == job.settings
    assert {"lambda=0.2", "encoder=true"} <= set(description.flags)
    content = read_json(job.model.model_json)
    assert content["task"] == "anomaly" and content["search"]["lambda"] == 0.2
    assert content["plans"]["source"]["folder"] == "." and "picture0" not in job.model.model_json.read_text()


@pytest.mark.parametrize(("size", "layers"), [(64, 4), (128, 5), (256, 6)])
def test_networks_bring_images_down_to_4_pixels_unless_told_otherwise(make_job: MakeJob, size: int, layers: int) -> None:
    """As published: 64 pixels in four steps."""
    job = make_job()
    plans = read_model(job.plans_json, SlicePlans).model_copy(update={"image_size": size})
    assert gan_shape(plans, AnomalySettings()).conv_layers == layers
    assert gan_shape(plans, AnomalySettings(conv_layers=2)).conv_layers == 2
    with pytest.raises(AutosegError, match="cannot be halved so often.* or plan another --image-size"):
        gan_shape(plans, AnomalySettings(conv_layers=layers + 2))


def test_cases_without_a_normal_slice_are_not_trained_on(make_job: MakeJob) -> None:
    data = load_data(make_job("all"))
    assert len(data.training) == 12
    assert [case.name for case in data.training_cases] == [f"picture{number:02d}" for number in range(8)]


def test_abnormal_cases_are_spread_over_the_folds(make_job: MakeJob) -> None:
    """Four of twelve: no fold has two, so that nearly all can say how well the two kinds are told apart."""
    data = load_data(make_job("0"))
    abnormal = [sum(data.stored[name].case_truth == "abnormal" for name in split["val"]) for split in data.splits]
    assert sorted(abnormal) == [0, 1, 1, 1, 1]
