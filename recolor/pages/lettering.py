"""Words on pictures."""

from pathlib import Path

import matplotlib as mpl
from PIL import ImageDraw, ImageFont

from recolor.pages.html import printable

_LONGEST = 200  # characters; file systems allow 4,096, and each length is tried


def font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: the same picture on every machine."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(
        Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size_px, layout_engine=ImageFont.Layout.BASIC
    )


def shortened_path(draw: ImageDraw.ImageDraw, path: str, letters: ImageFont.FreeTypeFont, room_px: float) -> str:
    """A path as it can be drawn, or its end behind an ellipsis: the file name says more than the folder."""
    text = printable(path)
    if draw.textlength(text, letters) <= room_px:
        return text
    fitting = (text[-length:] for length in range(min(len(text), _LONGEST), 0, -1))
    return next(("…" + end for end in fitting if draw.textlength("…" + end, letters) <= room_px), "…")
