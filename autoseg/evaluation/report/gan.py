"""How an anomaly detector was trained: its networks, the losses of both, and what its generator makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autoseg.errors import AutosegError
from autoseg.evaluation.report.detectors import Detector, DetectorFold
from autoseg.evaluation.report.elements import Block, Explained, Explanations, Figure, Folded, Heading, Table, Text, figures
from autoseg.evaluation.report.figures import curves
from autoseg.evaluation.report.pictures import embedded_file
from autoseg.evaluation.report.training import all_settings, folds_table, set_by_user
from autoseg.evaluation.report.words import counted, times
from autoseg.training_log import Epoch

LOSSES = {"generator": "generator_loss", "discriminator": "discriminator_loss", "encoder": "encoder_loss"}
BELIEFS = {"D(x), real": "D(x)", "D(G(z)), generated": "D(G(z))"}


def made_of(detector: Detector) -> list[Block]:
    """Its networks, search and settings; nothing where model.json could not be read."""
    its = detector.description
    if its is None:
        return []
    shape = its.gan
    networks = (f"DCGAN for {times([shape.image_size] * 2)} pixels, {counted(shape.conv_layers, 'convolution')} in each network "
                f"that halve or double the resolution, {shape.widths[0]} to {shape.widths[-1]} channels, "
                f"{counted(shape.latent, 'latent entry', 'latent entries')}" + (", and an encoder" if its.has_encoder else ""))
    search = (f"at most {counted(its.search.search_steps, 'update')} of the latent vector, lambda {its.search.lambda_:g}"
              + (f", {its.search.restarts} restarts" if its.search.restarts > 1 else ""))
    return [
        Explanations([Explained("Recipe", its.recipe), Explained("Networks", networks), Explained("Search", search),
                      Explained("Set by you", set_by_user(its.flags))]),
        all_settings(detector.name, its.settings)]


def curves_and_samples(detector: Detector) -> list[Block]:
    """Of the first fold; of the others, folded away."""
    begun = [fold for fold in detector.folds if fold.log]
    if not begun:
        return [Text("No epoch has been finished yet.", is_note=True)]
    first, *others = begun
    blocks: list[Block] = [
        Text("Generator and discriminator work against each other, so that neither loss says how good the images are: look at "
             "those. D(x) and D(G(z)) are what the discriminator takes real and generated slices for, 0 (generated) to 1 (real). "
             "Where D(x) stays near 1 and D(G(z)) near 0, the discriminator has won and the generator learns no more."),
        *_of_fold(detector, first)]
    if others:
        blocks.append(Folded(f"The other {counted(len(others), 'fold')}",
                             [block for fold in others for block in (Heading(f"Fold {fold.name}"), *_of_fold(detector, fold))]))
    return blocks


def _of_fold(detector: Detector, fold: DetectorFold) -> list[Block]:
    where = f"{detector.name}, fold {fold.name}"
    shown = [
        Figure(f"Losses, fold {fold.name}", curves(f"Losses of {where}", _series(fold.log, LOSSES))),
        Figure(f"D(x) and D(G(z)), fold {fold.name}", curves(f"Answers of the discriminator of {where}",
                                                              _series(fold.log, BELIEFS), (0, 1)))]
    trouble: list[Block] = []
    if fold.samples is not None:
        try:
            said = f"Slices that the generator of {where} makes, in rows, from the file {fold.samples.name}."
            shown.append(Figure(f"Generated slices, fold {fold.name}", embedded_file(fold.samples, said)))
        except AutosegError as error:
            trouble.append(Text(str(error), is_note=True))
    return [*figures(*shown), *trouble]


def _series(log: Sequence[Epoch], lines: Mapping[str, str]) -> dict[str, tuple[list[float], list[float | None]]]:
    return {line: ([float(epoch.epoch + 1) for epoch in log], [epoch.values.get(key) for epoch in log])
            for line, key in lines.items()}


def table_of_folds(detector: Detector) -> Table:
    """What there is of each fold that was begun."""
    return folds_table(detector.name, detector.folds, {
        "cases scored": lambda fold: str(len(fold.cases)) if fold.cases else "",
        "slices scored": lambda fold: str(sum(entry.score is not None for entry in fold.slices)) if fold.slices else ""})
