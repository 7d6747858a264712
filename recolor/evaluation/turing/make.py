"""Writes the visual Turing test as a self-contained HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recolor.cleaning.index import scan_folder
from recolor.colorize import Colorizer
from recolor.config.settings import IndexConfig
from recolor.errors import InputError
from recolor.evaluation.turing.pairs import Pair, Photograph, Skipped, make_pairs
from recolor.manifests.names import decode_path, encode_path
from recolor.pages.html import data_uri, inline_script, page_environment, printable
from recolor.pipeline.c_messages import no_c_messages
from recolor.pipeline.inputs import check_inputs
from recolor.pipeline.storage import write_output


@dataclass(frozen=True, slots=True)
class Turing:
    """A written test.

    Attributes:
        path: Path of the page.
        pairs: Number of pairs.
        skipped: Photographs that could not be used.
        size_bytes: Size of the page.
    """

    path: Path
    pairs: int
    skipped: tuple[Skipped, ...]
    size_bytes: int


def make_turing(
    inputs: Sequence[Path], colorizer: Colorizer, out: Path, *, pairs: int = 20, size_px: int = 384, seed: int = 0
) -> Turing:
    """Writes a self-contained HTML page with pairs of pictures and a result at the end.

    Photographs are drawn at random. One that cannot be read or has no colour is replaced by the next.

    Args:
        inputs: Colour photographs and folders of them.
        colorizer: Model; it colours each photograph's lightness at the displayed size.
        out: Path of the page.
        pairs: Number of pairs.
        size_px: Long side of the pictures.
        seed: Seed of the choice of photographs and of the order of each pair. The same seed, photographs and model
            give the same page.

    Raises:
        InputError: An input is missing, or there are fewer photographs than pairs.
        StorageError: The page cannot be written.
    """
    photographs = find_photographs(inputs)
    if len(photographs) < pairs:
        raise InputError(_too_few(f"{len(photographs)} photographs were found", len(photographs), pairs))
    random = np.random.default_rng(seed)
    drawn = (photographs[number] for number in random.permutation(len(photographs)))
    with no_c_messages():
        made, skipped = make_pairs(drawn, colorizer, pairs, size_px)
    if len(made) < pairs:
        first = f"{skipped[0].name!r}: {skipped[0].why}"
        usable = f"{len(made)} of {len(photographs)} photographs can be used (skipped: {first})"
        raise InputError(_too_few(usable, len(made), pairs))
    data = render_turing(made, random).encode()
    write_output(out, data)
    return Turing(out, len(made), skipped, len(data))


def find_photographs(inputs: Sequence[Path]) -> list[Photograph]:
    """Returns the given files and the image files in the given folders, each once.

    Raises:
        InputError: An input is missing.
    """
    found = (photograph for path in inputs for photograph in _photographs(path))
    return list({photograph.path: photograph for photograph in found}.values())


def render_turing(pairs: Sequence[Pair], random: np.random.Generator) -> str:
    """Returns the page as HTML that loads nothing.

    A random byte sets the order of each pair: the photograph comes second if the byte has an odd number of ones. The
    page contains these bytes, not the answers.

    Args:
        pairs: Pairs to show.
        random: Random generator of the order.
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
    """Returns whether a pair's random byte puts the photograph second."""
    return byte.bit_count() % 2 == 1


def _photographs(path: Path) -> Iterator[Photograph]:
    if path.is_dir():
        found = scan_folder(path, IndexConfig()).found
        yield from (Photograph(path / decode_path(file.path), file.path) for file in found)
    else:
        check_inputs([path])
        yield Photograph(path, encode_path(path.name))


def _too_few(why: str, usable: int, pairs: int) -> str:
    advice = "Give more photographs" + (f", or --pairs {usable}." if usable else ".")
    return f"{why}, but {pairs} pairs were requested. {advice}"


def _in_order(pair: Pair, byte: int, random: np.random.Generator) -> tuple[bytes, bytes]:
    """Returns both pictures in the byte's order, padded to equal length.

    Without padding, the smaller file would usually be the picture with less colour.
    """
    length = max(len(pair.photograph), len(pair.coloured))
    photograph, coloured = (  # decoders ignore bytes after the JPEG end marker
        picture + random.bytes(length - len(picture)) for picture in (pair.photograph, pair.coloured)
    )
    return (coloured, photograph) if photograph_comes_second(byte) else (photograph, coloured)
