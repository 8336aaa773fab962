"""What a detector's fold is trained on, the model.json that it writes, and what may not stand beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from autoseg.api.training import train
from autoseg.errors import AutosegError
from autoseg.files import write_json, write_text
from autoseg.tasks.anomaly.dcgan import GanShape
from autoseg.tasks.anomaly.model import AnomalyDescription
from autoseg.tasks.anomaly.plan import SlicePlans
from autoseg.trainers.anomaly.job import check_detector_job, describe_detector, load_detector_data
from autoseg.trainers.anomaly.task import gan_shape
from autoseg.trainers.checkpoint import save_state
from autoseg.trainers.job import Job, settle_settings
from autoseg.trainers.recipes import anomaly_defaults
from autoseg.trainers.settings.anomaly import AnomalySettings
from autoseg.workspace import read_json, read_model

MakeJob = Callable[..., Job[AnomalySettings]]


def describe(job: Job[AnomalySettings]) -> AnomalyDescription:
    """What model.json says then."""
    assert job.settings is not None
    describe_detector(job, load_detector_data(job), job.settings)
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
    assert "picture0" not in job.model.model_json.read_text()


@pytest.mark.parametrize(("size", "layers"), [(64, 4), (128, 5), (256, 6)])
def test_networks_bring_images_down_to_4_pixels_unless_told_otherwise(make_job: MakeJob, size: int, layers: int) -> None:
    """As published: 64 pixels in four steps."""
    job = make_job()
    plans = read_model(job.folder.slices_json, SlicePlans).model_copy(update={"image_size": size})
    assert gan_shape(plans, AnomalySettings()).conv_layers == layers
    assert gan_shape(plans, AnomalySettings(conv_layers=2)).conv_layers == 2
    with pytest.raises(AutosegError, match="cannot be halved so often.* or plan another --image-size"):
        gan_shape(plans, AnomalySettings(conv_layers=layers + 2))


@pytest.mark.parametrize(("change", "named"), [
    ({"latent": 9}, "gan"), ({"features": 3}, "gan"), ({"conv_layers": 3}, "gan"), ({"spectral_norm": True}, "spectral_norm"),
    ({"encoder": True}, "has_encoder"),
])
def test_folds_whose_networks_differ_are_no_model(make_job: MakeJob, change: dict[str, object], named: str) -> None:
    first = make_job("0")
    describe(first)
    write_text(first.fold_folder.training_state, "begun")
    other = make_second(first, change)
    for refuse in (describe, lambda job: check_detector_job(job, load_detector_data(job))):
        with pytest.raises(AutosegError, match=rf"holds folds \(0\) of a detector with other {named}\..* \(--name\)"):
            refuse(other)
    describe(replace(other, name="other"))


def make_second(first: Job[AnomalySettings], change: dict[str, object]) -> Job[AnomalySettings]:
    """Fold 1 beside fold 0, with other settings."""
    assert first.settings is not None
    return replace(first, fold="1", settings=first.settings.model_copy(update=change))


def test_folds_may_search_otherwise_and_that_is_said(make_job: MakeJob) -> None:
    first = make_job("0")
    described = describe(first)
    write_text(first.fold_folder.checkpoint_final, "trained")
    other = make_second(first, {"lambda_": 0.5, "epochs": 9, "seed": 3})
    *_, note = check_detector_job(other, load_detector_data(other))
    assert "other folds (0) were trained with another lambda: " in note
    assert describe(other) == described  # the model's, which fold 0 wrote


def test_slices_that_were_cut_otherwise_are_another_model(make_job: MakeJob) -> None:
    first = make_job("0")
    describe(first)
    write_text(first.fold_folder.training_state, "begun")
    there = read_json(first.model.model_json)
    assert there["plans"]["source"]["folder"] == "."
    write_json(first.model.model_json, {**there, "plans": {**there["plans"], "reasons": {}, "versions": {}}})
    describe(make_second(first, {}))
    write_json(first.model.model_json, {**there, "plans": {**there["plans"], "channel_names": ["green"]}})
    with pytest.raises(AutosegError, match="of a detector with other plans"):
        describe(make_second(first, {}))


def test_an_unfinished_fold_goes_on_with_its_own_settings_alone(make_job: MakeJob) -> None:
    job, defaults = make_job(**{"lambda": 0.3}), anomaly_defaults("anogan")
    assert job.settings is not None
    with pytest.raises(AutosegError, match="Fold 0 has nothing to continue"):
        settle_settings(replace(job, settings=None), defaults)
    save_state(job.fold_folder.training_state, {"settings": job.settings.model_dump(mode="json")})
    assert settle_settings(replace(job, settings=None), defaults) == settle_settings(job, defaults) == job.settings
    other = replace(job, settings=job.settings.model_copy(update={"lambda_": 0.4, "encoder": True}))
    with pytest.raises(AutosegError, match=r"started with other settings .*lambda=0.3 \(now 0.4\), .*encoder=false \(now true\)"):
        settle_settings(other, defaults)


@pytest.mark.parametrize(("change", "words"), [
    ({"settings": ["conv_layers=6"]}, "cannot be halved so often"), ({"device": "quantum"}, "no device"),
    ({"fold": 7}, 'no fold "7"'),
])
def test_what_cannot_begin_is_refused_before_restart_throws_anything_away(
    make_job: MakeJob, change: dict[str, object], words: str
) -> None:
    job = make_job("1")
    write_text(job.fold_folder.checkpoint_final, "trained for days")
    wanted = {"fold": 1, "device": "cpu", **change}
    with pytest.raises(AutosegError, match=words):
        train("Squares", recipe="anogan", restart=True, workspace=job.folder.root.parent, quiet=True, **wanted)  # type: ignore[arg-type]
    assert job.fold_folder.checkpoint_final.exists()


def test_cases_that_are_not_cut_or_cut_by_other_plans_are_named_with_the_command(make_job: MakeJob) -> None:
    job = make_job()
    plans = read_json(job.folder.slices_json)
    stored = job.folder.preprocessed("slices")
    job.folder.slices_json.unlink()
    write_json(job.folder.slices_json, {**plans, "normal_by": "all"})
    with pytest.raises(AutosegError, match="12 of 12 cases were cut by other plans .*Run: autoseg_plan_and_preprocess Squares "
                       "--planner slices"):
        load_detector_data(job)
    link = job.folder.root / "preprocessed"
    link.unlink()
    for path in (link.parent / "elsewhere", link / "slices"):
        path.mkdir(parents=True)
    with pytest.raises(AutosegError, match="12 of 12 cases are not cut into slices: picture00"):
        load_detector_data(job)
    assert stored == link / "slices"


def test_a_dataset_that_was_not_planned_as_slices_is_told_the_command(make_job: MakeJob) -> None:
    job = make_job()
    job.folder.slices_json.unlink()
    with pytest.raises(AutosegError, match="--planner slices"):
        train("Squares", 0, recipe="anogan", workspace=job.folder.root.parent, quiet=True)


def test_fold_all_trains_on_every_case_and_makes_no_splits(make_job: MakeJob) -> None:
    data = load_detector_data(make_job("all"))
    assert len(data.training) == 12 and not data.validation and not data.splits
    assert [case.name for case in data.training_cases] == [f"picture{number:02d}" for number in range(8)]


def test_abnormal_cases_are_spread_over_the_folds(make_job: MakeJob) -> None:
    """Four of twelve: no fold has two, so that nearly all can say how well the two kinds are told apart."""
    data = load_detector_data(make_job("0"))
    abnormal = [sum(data.stored[name].case_truth == "abnormal" for name in split["val"]) for split in data.splits]
    assert sorted(abnormal) == [0, 1, 1, 1, 1]
