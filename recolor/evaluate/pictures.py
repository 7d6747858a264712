"""The picture grid: grey, generator, refined, truth, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from recolor.lettering import font, shortened_path

RGB = NDArray[np.uint8]

HEADINGS = ("Greyscale", "Generator", "Refined", "Photograph")

_MARGIN_PX, _GAP_PX, _HEADING_PX, _CAPTION_PX = 24, 10, 44, 30
_PAPER, _INK, _FAINT = "#ffffff", "#1c2024", "#6b7280"


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph as it was coloured.

    Attributes:
        path: Its path in the image folder.
        delta_e_2000: Mean CIEDE2000 of the refined image.
        tiles: grey, generator, refined, truth; uint8 sRGB [S, S, 3], all of one size.
    """

    path: str
    delta_e_2000: float
    tiles: tuple[RGB, RGB, RGB, RGB]


def picture_grid(pictures: Sequence[Picture]) -> Image.Image:
    """Draws a row for each picture, with headings above the columns and the file name below each row."""
    side_px = pictures[0].tiles[0].shape[0]
    width_px = 2 * _MARGIN_PX + 4 * side_px + 3 * _GAP_PX
    row_px = side_px + _CAPTION_PX
    image = Image.new("RGB", (width_px, _HEADING_PX + len(pictures) * row_px + _MARGIN_PX // 2), _PAPER)
    draw = ImageDraw.Draw(image)
    lefts = [_MARGIN_PX + column * (side_px + _GAP_PX) for column in range(4)]
    for heading, left in zip(HEADINGS, lefts, strict=True):
        draw.text((left + side_px / 2, _HEADING_PX / 2), heading, _INK, font(17, bold=True), anchor="mm")
    for row, picture in enumerate(pictures):
        top = _HEADING_PX + row * row_px
        for tile, left in zip(picture.tiles, lefts, strict=True):
            image.paste(Image.fromarray(tile), (left, top))
        _draw_caption(draw, picture, (_MARGIN_PX, top + side_px + 11), width_px - 2 * _MARGIN_PX)
    return image


def _draw_caption(draw: ImageDraw.ImageDraw, picture: Picture, at: tuple[int, int], width_px: int) -> None:
    left, middle = at
    measure = f"ΔE {picture.delta_e_2000:.1f}"
    letters = font(13)
    draw.text((left + width_px, middle), measure, _FAINT, letters, anchor="rm")
    room_px = width_px - draw.textlength(measure, letters) - _GAP_PX
    draw.text((left, middle), shortened_path(draw, picture.path, letters, room_px), _FAINT, letters, anchor="lm")
