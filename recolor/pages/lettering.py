"""Draws text on pictures."""

from pathlib import Path

import matplotlib as mpl
from PIL import ImageDraw, ImageFont

from recolor.pages.html import printable

_LONGEST = 200  # maximum number of characters tried; paths can have 4,096


def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Returns DejaVu Sans from matplotlib: pictures are the same on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size_px, layout_engine=ImageFont.Layout.BASIC
    )


def shortened_path(draw: ImageDraw.ImageDraw, path: str, letters: ImageFont.FreeTypeFont, room_px: float) -> str:
    """Returns the path, or an ellipsis and as much of its end as fits into `room_px`."""
    text = printable(path)
    if draw.textlength(text, letters) <= room_px:
        return text
    fitting = (text[-length:] for length in range(min(len(text), _LONGEST), 0, -1))
    return next(("…" + end for end in fitting if draw.textlength("…" + end, letters) <= room_px), "…")
