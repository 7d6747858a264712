"""Draws the picture grid: grey image, coloured images and photograph side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from recolor.pages.lettering import font, shortened_path

RGB = NDArray[np.uint8]

_MARGIN_PX, _GAP_PX, _HEADING_PX, _CAPTION_PX = 24, 10, 44, 30
_PAPER, _INK, _FAINT = "#ffffff", "#1c2024", "#6b7280"


@dataclass(frozen=True, slots=True)
class Picture:
    """One photograph and its coloured versions.

    Attributes:
        path: Path relative to the image folder.
        delta_e_2000: Mean CIEDE2000 difference of the model's image.
        tiles: Grey image, coloured images and photograph; uint8 sRGB [H, W, 3], all of one size.
    """

    path: str
    delta_e_2000: float
    tiles: tuple[RGB, ...]


def picture_grid(pictures: Sequence[Picture], headings: Sequence[str]) -> Image.Image:
    """Returns an image with a row for each picture.

    Headings are above the columns, the file name is below each row.

    Args:
        pictures: Pictures with equal numbers of tiles.
        headings: Headings of the columns, one for each tile. Columns are as wide as the first picture; other pictures
            are scaled to that width.
    """
    side_px = pictures[0].tiles[0].shape[1]
    rows = [[_scaled(tile, side_px) for tile in picture.tiles] for picture in pictures]
    width_px = 2 * _MARGIN_PX + len(headings) * side_px + (len(headings) - 1) * _GAP_PX
    height_px = _HEADING_PX + sum(tiles[0].height + _CAPTION_PX for tiles in rows) + _MARGIN_PX // 2
    image = Image.new("RGB", (width_px, height_px), _PAPER)
    draw = ImageDraw.Draw(image)
    lefts = [_MARGIN_PX + column * (side_px + _GAP_PX) for column in range(len(headings))]
    for heading, left in zip(headings, lefts, strict=True):
        short = shortened_path(draw, heading, font(17, bold=True), side_px)
        draw.text((left + side_px / 2, _HEADING_PX / 2), short, _INK, font(17, bold=True), anchor="mm")
    top = _HEADING_PX
    for picture, tiles in zip(pictures, rows, strict=True):
        for tile, left in zip(tiles, lefts, strict=True):
            image.paste(tile, (left, top))
        top += tiles[0].height
        _draw_caption(draw, picture, (_MARGIN_PX, top + 11), width_px - 2 * _MARGIN_PX)
        top += _CAPTION_PX
    return image


def _scaled(tile: RGB, width_px: int) -> Image.Image:
    picture = Image.fromarray(tile)
    if picture.width == width_px:
        return picture
    return picture.resize(
        (width_px, max(1, round(picture.height * width_px / picture.width))), Image.Resampling.LANCZOS
    )


def _draw_caption(draw: ImageDraw.ImageDraw, picture: Picture, at: tuple[int, int], width_px: int) -> None:
    left, middle = at
    measure = f"ΔE {picture.delta_e_2000:.1f}"
    letters = font(13)
    draw.text((left + width_px, middle), measure, _FAINT, letters, anchor="rm")
    room_px = width_px - draw.textlength(measure, letters) - _GAP_PX
    draw.text((left, middle), shortened_path(draw, picture.path, letters, room_px), _FAINT, letters, anchor="lm")
