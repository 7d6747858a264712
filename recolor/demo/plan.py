"""The plan of the demo's image folder: path, faults and contents of each file."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from recolor.cleaning.detect import ISSUES
from recolor.demo.copies import COPIES, ORIGINAL_QUALITY, Copy, jpeg
from recolor.demo.damage import DAMAGES, Damage
from recolor.demo.defects import DEFECTS, SHAPES_PX, Defect
from recolor.demo.landscape import render_landscape
from recolor.demo.photographs import COLOUR_CROPS, GREY_PHOTOGRAPHS, Crop, cut_photograph, photograph_path
from recolor.demo.truth import CLEAN, Truth

SIZES_PX = ((384, 288), (400, 300), (416, 280), (360, 270), (288, 384), (448, 300), (384, 256), (320, 320), (300, 400))
_ORIGINAL_SIZE_PX = (480, 360)
# Realistic names that do not reveal the faults of an image.
_FOLDERS = ("DCIM/100MSDCF", "DCIM/101MSDCF", "2019 summer holiday", "Öræfi og Þórsmörk", "from the old laptop")

# The issues in the order in which they came into the demo. Seeds follow it, so a new issue changes no earlier image.
_ADDED = ("corrupt", "duplicate", "monochrome", "skewed", "blurry", "low_resolution", "extreme_aspect", "exposure")
_NUMBERED_LAST = "exposure"  # not shuffled among the earlier images, so that these keep their names

# Seeds of faulty pictures start here, above those of clean pictures, so that no picture is used twice.
_FAULTY_SEED = 1_000_000
_ORIGINAL_SEED = 2_000_000

Make = Callable[[], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A file without a path.

    Attributes:
        key: Name in the plan.
        suffix: Suffix of the file name.
        faults: Issue and kind of each fault; `clean` and the kind for a clean image.
        make: Returns the file's bytes.
        copy_of: Key of the original; empty if the file is not a duplicate.
        path: Fixed path; empty if the file gets a numbered name.
    """

    key: str
    suffix: str
    faults: tuple[tuple[str, str], ...]
    make: Make
    copy_of: str = ""
    path: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A file of the demo.

    Attributes:
        path: Path relative to the image folder, with forward slashes.
        truths: Rows of the truth table.
        make: Returns the file's bytes.
    """

    path: str
    truths: tuple[Truth, ...]
    make: Make


# An image of more than 100 million pixels would take minutes to draw.
PLANTED = tuple(issue for issue in ISSUES if issue != "too_large")


def plan_images(landscapes: int, issues: Collection[str], each: int, photographs: bool) -> tuple[Planned, ...]:
    """Returns the plan of the image folder; the same arguments give the same plan.

    Args:
        landscapes: Number of clean landscapes, besides the originals of the duplicates.
        issues: Faults to plant, of `PLANTED`.
        each: Number of images of each kind of fault.
        photographs: Whether to include the photographs of scikit-image.
    """
    drafts = [_clean(seed) for seed in range(landscapes)]
    for issue in sorted(issues, key=_ADDED.index):
        drafts += _duplicates(each) if issue == "duplicate" else _faulty(issue, each)
    drafts += _photographs() if photographs else ()
    paths = _paths(drafts)
    return tuple(_place(draft, paths) for draft in drafts)


def _clean(seed: int) -> Draft:
    make = partial(_landscape_jpeg, seed, SIZES_PX[seed % len(SIZES_PX)], 86 + seed % 10)
    return Draft(key=f"landscape {seed}", suffix=".jpg", faults=((CLEAN, "landscape"),), make=make)


def _faulty(issue: str, each: int) -> Iterator[Draft]:
    kinds = DAMAGES if issue == "corrupt" else DEFECTS[issue]
    first = _FAULTY_SEED + 10_000 * _ADDED.index(issue)
    for number, kind in enumerate(kinds):
        for seed in range(first + 100 * number, first + 100 * number + each):
            make = partial(_damaged, kind, seed) if issue == "corrupt" else partial(_defective, issue, kind, seed)
            suffix = ".png" if kind == "damaged_png" else ".jpg"
            yield Draft(key=f"{kind} {seed}", suffix=suffix, faults=((issue, kind),), make=make)


def _duplicates(each: int) -> Iterator[Draft]:
    for number, (kind, copy) in enumerate(COPIES.items()):
        for seed in range(_ORIGINAL_SEED + 100 * number, _ORIGINAL_SEED + 100 * number + each):
            key = f"original {seed}"
            make = partial(_landscape_jpeg, seed, _ORIGINAL_SIZE_PX, ORIGINAL_QUALITY)
            yield Draft(key=key, suffix=".jpg", faults=((CLEAN, "landscape"),), make=make)
            faults = (("duplicate", kind),)
            yield Draft(
                key=f"{kind} {seed}", suffix=".jpg", faults=faults, make=partial(_copied, copy, seed), copy_of=key
            )


def _photographs() -> Iterator[Draft]:
    for number, crop in enumerate(COLOUR_CROPS, start=1):
        path = f"photographs/{crop.name.partition('.')[0]} {number}.jpg"
        yield Draft(key=path, suffix=".jpg", faults=((CLEAN, "photograph"),), make=partial(_crop_jpeg, crop), path=path)
    for name, issues in GREY_PHOTOGRAPHS:
        faults = tuple((issue, "photograph") for issue in issues)
        make = photograph_path(name).read_bytes
        yield Draft(key=name, suffix=".png", faults=faults, make=make, path=f"photographs/{name}")


def _paths(drafts: list[Draft]) -> dict[str, str]:
    """Returns the path of each file; a shuffled numbering mixes faulty and clean images."""
    paths = {draft.key: draft.path for draft in drafts if draft.path}
    numbered = [draft for draft in drafts if not draft.path]
    last = [draft for draft in numbered if draft.faults[0][0] == _NUMBERED_LAST]
    mixed = [draft for draft in numbered if draft.faults[0][0] != _NUMBERED_LAST]
    shuffled = [mixed[index] for index in _generator(len(mixed)).permutation(len(mixed))]
    for place, draft in enumerate([*shuffled, *last]):
        folder = _FOLDERS[min(place * len(_FOLDERS) // max(len(mixed), 1), len(_FOLDERS) - 1)]
        paths[draft.key] = f"{folder}/IMG_{1000 + place}{draft.suffix}"
    return paths


def _place(draft: Draft, paths: dict[str, str]) -> Planned:
    path, original = paths[draft.key], paths.get(draft.copy_of, "")
    truths = tuple(Truth(path, issue, kind, original) for issue, kind in draft.faults)
    return Planned(path=path, truths=truths, make=draft.make)


def _landscape_jpeg(seed: int, size_px: tuple[int, int], quality: int) -> bytes:
    return jpeg(render_landscape(seed, *size_px), quality)


def _damaged(kind: str, seed: int) -> bytes:
    damage: Damage = DAMAGES[kind]
    return damage(_landscape_jpeg(seed, SIZES_PX[0], 90), _generator(seed))


def _defective(issue: str, kind: str, seed: int) -> bytes:
    defect: Defect = DEFECTS[issue][kind]
    return jpeg(defect(render_landscape(seed, *SHAPES_PX.get(kind, SIZES_PX[0])), _generator(seed)), 90)


def _copied(copy: Copy, seed: int) -> bytes:
    return copy(render_landscape(seed, *_ORIGINAL_SIZE_PX))


def _crop_jpeg(crop: Crop) -> bytes:
    return jpeg(cut_photograph(crop), 92)


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))
