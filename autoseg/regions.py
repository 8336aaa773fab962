"""Regions painted back as label values: a perfect prediction must come out as what it was.

A voxel of a label value is inside of each region that holds the value. Regions are painted one after the other, each with its
entry of regions_class_order, so the last of them gives the voxel its value. That value must lie in the same regions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

Regions = Mapping[str, tuple[int, ...]]


def painted_back(regions: Regions, order: Sequence[int]) -> dict[int, int]:
    """Return for each label value of the regions, and 0, the value that a perfect prediction of it is written as.

    regions: label values by name, in painting order. order: the value that each is painted with.
    """
    painted = dict.fromkeys(sorted({0, *(value for values in regions.values() for value in values)}), 0)
    for values, paint in zip(regions.values(), order, strict=True):
        painted.update(dict.fromkeys(values, paint))
    return painted


def painting_fault(regions: Regions, order: Sequence[int]) -> str:
    """Return why the regions do not come back as they were, and what would; "" where they do.

    Label values that lie in the same regions may be written as one of them: no region tells them apart.
    """
    wrong = {value: paint for value, paint in painted_back(regions, order).items()
             if _around(value, regions) != _around(paint, regions)}
    if not wrong:
        return ""
    becomes = ", ".join(f"{value} becomes {paint}" for value, paint in wrong.items())
    return (f'the regions cannot be painted back with "regions_class_order": {list(order)}: label value {becomes} in a perfect '
            f"prediction, as later regions are painted over earlier ones. {_remedy(regions, order)}")


def _around(value: int, regions: Regions) -> frozenset[str]:
    return frozenset(name for name, values in regions.items() if value in values)


def _remedy(regions: Regions, order: Sequence[int]) -> str:
    paints = dict(zip(regions, order, strict=True))
    working, left = _from_the_last(regions, paints)
    if left:
        several = sorted(value for value in {value for name in left for value in regions[name]}
                         if len(_around(value, {name: regions[name] for name in left})) > 1)
        return (f"No order of these regions works, as {' and '.join(left)} cross. Give {_listed(several)}, which "
                f"lie{'s' if len(several) == 1 else ''} in more than one of them, a region of "
                f"{'its' if len(several) == 1 else 'their'} own, listed last")
    written = f'"regions_class_order": {[working[name] for name in working]}'
    if list(working) == list(regions):
        return f"Write {written}"
    inside = ", ".join(f'"{name}": {list(regions[name])}' for name in working)
    return f'List the regions from the outermost to the innermost, {inside}, with {written}'


def _from_the_last(regions: Regions, paints: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Find an order, from the region that is painted last: one whose values, but for those that later ones paint, are not told
    apart. Where there is a choice, regions and values stay as they are. Returns name to value in painting order, and the regions
    that do not fit anywhere."""
    working: dict[str, int] = {}
    left, done = list(regions), set[int]()
    while left:
        for name in reversed(left):
            open_values = sorted(set(regions[name]) - done)
            if len({_around(value, regions) for value in open_values}) <= 1:
                break
        else:
            return working, left
        choice = open_values or sorted(regions[name])
        working = {name: paints[name] if paints[name] in choice else choice[0], **working}
        left.remove(name)
        done |= set(open_values)
    return working, []


def _listed(values: Iterable[int]) -> str:
    texts = [str(value) for value in values]
    return f"the value {texts[0]}" if len(texts) == 1 else f"the values {', '.join(texts)}"
