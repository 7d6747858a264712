"""The test as HTML: nothing is loaded from anywhere, and nothing in it tells at a glance which picture is real."""

from collections.abc import Sequence

import numpy as np

from recolor.evaluation.turing.pairs import Pair
from recolor.pages.html import data_uri, inline_script, page_environment, printable


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


def _in_order(pair: Pair, byte: int, random: np.random.Generator) -> tuple[bytes, bytes]:
    """Both pictures, as the byte orders them, of one length: or the smaller would be the one with less colour."""
    length = max(len(pair.photograph), len(pair.coloured))
    photograph, coloured = (  # what follows a JPEG's end marker is passed over
        picture + random.bytes(length - len(picture)) for picture in (pair.photograph, pair.coloured)
    )
    return (coloured, photograph) if photograph_comes_second(byte) else (photograph, coloured)
