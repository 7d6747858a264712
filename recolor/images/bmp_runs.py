"""Run lengths of a BMP, BI_RLE8 and BI_RLE4: pairs of a count and a value; the count 0 makes the value a command."""

from recolor.errors import ImageError

_END_OF_ROW, _MOVE = 0, 2  # commands; 3 and more: that many pixels follow as they are
_END_OF_PICTURE = b"\0\1"


def check_runs(data: bytes, start: int, width_px: int, height_px: int, *, bits: int) -> None:
    """Follows the runs from pixel to pixel. Pillow cuts what leaves a row, and stops where it likes.

    Args:
        data: The file.
        start: Where the runs start.
        width_px: Pixels of a row.
        height_px: Number of rows.
        bits: 8 or 4, of a pixel.

    Raises:
        ImageError: `bad_entropy_data` if a run leaves its row or the picture, `truncated` if rows are missing,
            `no_end_marker` if only the end of the picture is not marked.
    """
    position, x, y = start, 0, 0
    while len(command := data[position : position + 2]) == 2 and command != _END_OF_PICTURE:
        position, x, y = _follow(data, position, x, y, bits)
        if x > width_px or y * width_px + x > height_px * width_px:
            raise ImageError("bad_entropy_data", f"a run goes to column {x} of row {y}: {width_px}x{height_px} pixels")
    if position > len(data) or y * width_px + x < height_px * width_px:
        raise ImageError("truncated", f"the runs end at column {x} of row {y}: {width_px}x{height_px} pixels")
    if command != _END_OF_PICTURE:
        raise ImageError("no_end_marker", "run lengths without an end of the picture")


def _follow(data: bytes, position: int, x: int, y: int, bits: int) -> tuple[int, int, int]:
    """Where the next command stands, and the pixel that it starts at."""
    count, value = data[position], data[position + 1]
    position += 2
    if count:
        return position, x + count, y
    if value == _END_OF_ROW:
        return position, 0, y + 1
    if value == _MOVE:
        right, up = data[position : position + 2].ljust(2, b"\0")
        return position + 2, x + right, y + up
    pixel_bytes = (value * bits + 7) // 8
    return position + pixel_bytes + pixel_bytes % 2, x + value, y  # an even number of bytes, padded
