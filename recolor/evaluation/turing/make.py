"""Makes the test: photographs in, one HTML file out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recolor.cleaning.index import scan_folder
from recolor.colorize import Colorizer
from recolor.config.settings import IndexConfig
from recolor.errors import InputError
from recolor.evaluation.turing.pairs import Pair, Photograph, Skipped, make_pairs
from recolor.pages.html import data_uri, inline_script, page_environment, printable
from recolor.pipeline.storage import storage_errors, write_atomically


@dataclass(frozen=True, slots=True)
class Turing:
    """What was made.

    Attributes:
        path: The page.
        pairs: Pairs on it.
        skipped: Photographs that were tried and could not be used.
        size_bytes: Size of the page.
    """

    path: Path
    pairs: int
    skipped: tuple[Skipped, ...]
    size_bytes: int


def make_turing(
    inputs: Sequence[Path], colorizer: Colorizer, out: Path, *, pairs: int = 20, size_px: int = 384, seed: int = 0
) -> Turing:
    """Writes one self-contained HTML file: pairs to click through, then how often the model was taken for real.

    Photographs are drawn at random; one that cannot be read, or has no colour, is replaced by the next.

    Args:
        inputs: Colour photographs, and folders of them.
        colorizer: The model; it sees each photograph's lightness at the size shown.
        out: Where the page goes.
        pairs: How many.
        size_px: Long side of the pictures.
        seed: Says which photographs are drawn and which picture of a pair comes first; the same seed, photographs and
            model give the same page.

    Raises:
        InputError: An input is missing, or there are fewer photographs than pairs.
        StorageError: The page cannot be written.
    """
    photographs = find_photographs(inputs)
    if len(photographs) < pairs:
        raise InputError(_too_few(f"{len(photographs)} photographs are there", len(photographs), pairs))
    random = np.random.default_rng(seed)
    drawn = (photographs[number] for number in random.permutation(len(photographs)))
    made, skipped = make_pairs(drawn, colorizer, pairs, size_px)
    if len(made) < pairs:
        first = f"{skipped[0].name!r}: {skipped[0].why}"
        usable = f"{len(made)} of {len(photographs)} photographs can be used (not {first})"
        raise InputError(_too_few(usable, len(made), pairs))
    data = render_turing(made, random).encode()
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, data)
    return Turing(out, len(made), skipped, len(data))


def find_photographs(inputs: Sequence[Path]) -> list[Photograph]:
    """The files given and the image files under the folders given, each once.

    Raises:
        InputError: An input is missing.
    """
    found = (photograph for path in inputs for photograph in _photographs(path))
    return list({photograph.path: photograph for photograph in found}.values())


def render_turing(pairs: Sequence[Pair], random: np.random.Generator) -> str:
    """Renders the page.

    Each pair's order is that of a random byte: the photograph comes second where the byte has an odd number of ones.
    The page holds the bytes and no answers.

    Args:
        pairs: What to show.
        random: Where the order comes from.
    """
    order = random.bytes(len(pairs))
    shown = [_in_order(pair, byte, random) for pair, byte in zip(pairs, order, strict=True)]
    script = inline_script("turing.js")
    data = {
        "order": order.hex(),
        "pairs": [
            {"name": printable(pair.name), "pictures": [data_uri("image/jpeg", picture) for picture in pictures]}
            for pair, pictures in zip(pairs, shown, strict=True)
        ],
    }
    return page_environment().get_template("turing.html").render(count=len(pairs), data=data, script=script)


def photograph_comes_second(byte: int) -> bool:
    """Whether a pair's random byte puts the photograph behind the coloured picture."""
    return byte.bit_count() % 2 == 1


def _photographs(path: Path) -> Iterator[Photograph]:
    if path.is_dir():
        yield from (Photograph(path / file.path, file.path) for file in scan_folder(path, IndexConfig()).found)
    elif path.exists():
        yield Photograph(path, path.name)
    else:
        raise InputError(f"{path}: there is no such file or folder.")


def _too_few(why: str, usable: int, pairs: int) -> str:
    advice = "Give more photographs" + (f", or --pairs {usable}." if usable else ".")
    return f"{why}, and {pairs} pairs were asked for. {advice}"


def _in_order(pair: Pair, byte: int, random: np.random.Generator) -> tuple[bytes, bytes]:
    """Both pictures, as the byte orders them, of one length: or the smaller would be the one with less colour."""
    length = max(len(pair.photograph), len(pair.coloured))
    photograph, coloured = (  # what follows a JPEG's end marker is passed over
        picture + random.bytes(length - len(picture)) for picture in (pair.photograph, pair.coloured)
    )
    return (coloured, photograph) if photograph_comes_second(byte) else (photograph, coloured)
