"""Contact sheet of stored images, as the networks will see them."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image, ImageDraw

from recolor.color.lab import decode_lab, lab_to_rgb
from recolor.errors import InputError
from recolor.pages.lettering import font, shortened_path
from recolor.pipeline.workspace import Workspace
from recolor.shards.format import Codes, read_index, read_shard

TILE_PX = 128
_COLUMNS, _GAP_PX, _CAPTION_PX = 8, 8, 16
_PAPER, _INK = "#ffffff", "#6b7280"


def contact_sheet(workspace: Workspace, images: int, split: str | None = None) -> Image.Image:
    """Draws stored images, evenly spaced over the shards, decoded from the stored values.

    Args:
        workspace: Workspace with shards.
        images: Maximum number of images.
        split: `train`, `val` or `test`; None for all images.

    Returns:
        A picture with eight columns. Below each image is its path, shortened at the start if it is long.

    Raises:
        MissingStageError: The shards have not been built.
        InputError: The split is empty.
        DamagedError: A shard is missing or truncated.
    """
    index = read_index(workspace)
    if split is not None:
        index = index.filter(pc.equal(index["split"], split))
    if not len(index):
        raise InputError(f"{workspace.shards}: no stored image is in the split {split!r}.")
    chosen = index.take(pa.array(np.linspace(0, len(index) - 1, min(images, len(index))).round().astype(np.int64)))
    rows = -(-len(chosen) // _COLUMNS)
    size = (_GAP_PX + _COLUMNS * (TILE_PX + _GAP_PX), _GAP_PX + rows * (TILE_PX + _CAPTION_PX + _GAP_PX))
    sheet = Image.new("RGB", size, _PAPER)
    draw, letters = ImageDraw.Draw(sheet), font(9)
    for place, row in enumerate(chosen.to_pylist()):
        left = _GAP_PX + place % _COLUMNS * (TILE_PX + _GAP_PX)
        top = _GAP_PX + place // _COLUMNS * (TILE_PX + _CAPTION_PX + _GAP_PX)
        sheet.paste(_tile(read_shard(workspace.shards / row["shard"])[row["row"]]), (left, top))
        caption = shortened_path(draw, row["path"], letters, TILE_PX)
        draw.text((left, top + TILE_PX + _CAPTION_PX // 2), caption, _INK, letters, anchor="lm")
    return sheet


def _tile(stored: Codes) -> Image.Image:
    """Converts an image of a shard, [3, S, S], to an sRGB tile."""
    pixels = stored.transpose(1, 2, 0)
    lab = decode_lab(np.asarray(pixels, np.uint8)) if pixels.dtype == np.uint8 else np.asarray(pixels, np.float32)
    return Image.fromarray(lab_to_rgb(lab)).resize((TILE_PX, TILE_PX), Image.Resampling.BOX)
