"""Blocks of the report about the training of an anomaly detector: its networks, their losses, and what its generator makes."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.errors import AutosegError
from autoseg.reporting.artefacts import FoldArtefacts
from autoseg.reporting.blocks import Block, Explained, Figure, Folded, Heading, Picture, Table, Text, figures
from autoseg.reporting.figures import curves
from autoseg.reporting.training import NO_EPOCH, folds_table, over_epochs, recipe_and_settings
from autoseg.tasks.anomaly.pictures import SAMPLES
from autoseg.tasks.anomaly.report.scores import Detector, Scores
from autoseg.wording import counted, times

LOSSES = {"generator": "generator_loss", "discriminator": "discriminator_loss", "encoder": "encoder_loss"}
BELIEFS = {"D(x), real": "D(x)", "D(G(z)), generated": "D(G(z))"}


def networks_and_search(detector: Detector) -> list[Block]:
    """Show the networks, search and settings; return no block where model.json could not be read."""
    its = detector.description
    if its is None:
        return []
    shape = its.gan
    networks = (f"DCGAN for {times([shape.image_size] * 2)} pixels, {counted(shape.conv_layers, 'convolution')} in each network "
                f"that halve or double the resolution, {shape.widths[0]} to {shape.widths[-1]} channels, "
                f"{counted(shape.latent, 'latent entry', 'latent entries')}" + (", and an encoder" if its.has_encoder else ""))
    search = (f"at most {counted(its.search.search_steps, 'update')} of the latent vector, lambda {its.search.lambda_:g}"
              + (f", {its.search.restarts} restarts" if its.search.restarts > 1 else ""))
    return recipe_and_settings(detector.name, its, Explained("Networks", networks), Explained("Search", search))


def curves_and_samples(detector: Detector) -> list[Block]:
    """Show what the first fold was like, and what the others were like, folded away."""
    if not detector.begun:
        return [NO_EPOCH]
    first, *others = detector.begun
    blocks: list[Block] = [
        Text("Generator and discriminator work against each other, so that neither loss says how good the images are: look at "
             "those. D(x) and D(G(z)) are what the discriminator takes real and generated slices for, 0 (generated) to 1 (real). "
             "Where D(x) stays near 1 and D(G(z)) near 0, the discriminator has won and the generator learns no more."),
        *_of_fold(detector.name, first)]
    if others:
        more = [block for fold in others for block in (Heading(f"Fold {fold.name}"), *_of_fold(detector.name, fold))]
        blocks.append(Folded(f"The other {counted(len(others), 'fold')}", more))
    return blocks


def _of_fold(name: str, fold: FoldArtefacts[Scores]) -> list[Block]:
    where = f"{name}, fold {fold.name}"
    shown = [
        Figure(f"Losses, fold {fold.name}", curves(f"Losses of {where}", _series(fold, LOSSES))),
        Figure(f"D(x) and D(G(z)), fold {fold.name}", curves(f"Answers of the discriminator of {where}",
                                                              _series(fold, BELIEFS), (0, 1)))]
    trouble: list[Block] = []
    newest = max((fold.folder.root / SAMPLES).glob("*.png"), default=None)
    if newest is not None:
        try:
            said = f"Slices that the generator of {where} makes, in rows, from the file {newest.name}."
            shown.append(Picture(newest, f"Generated slices, fold {fold.name}", said).figure())
        except AutosegError as error:
            trouble.append(Text(str(error), is_note=True))
    return [*figures(*shown), *trouble]


def _series(fold: FoldArtefacts[Scores], lines: Mapping[str, str]) -> dict[str, tuple[list[float], list[float | None]]]:
    return {line: over_epochs(fold, [epoch.values.get(key) for epoch in fold.log]) for line, key in lines.items()}


def table_of_folds(detector: Detector) -> Table:
    """Show the state of each fold."""
    return folds_table(detector.name, detector.folds, {
        "cases scored": lambda fold: str(len(fold.results.cases)) if fold.results else "", "slices scored": _slices_scored})


def _slices_scored(fold: FoldArtefacts[Scores]) -> str:
    slices = fold.results.slices if fold.results else []
    return str(sum(entry.score is not None for entry in slices)) if slices else ""
