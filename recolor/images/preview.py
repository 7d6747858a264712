"""Small copies of images for pages: reduced by area, and as JPEG files."""

import cv2
import numpy as np

from recolor.color.arrays import RGB


def reduced(rgb: RGB, side_px: int) -> RGB:
    """Returns an image whose long side is at most `side_px`, averaged by area; a smaller image is not changed.

    Args:
        rgb: uint8 [H, W, 3].
        side_px: Maximum of the long side.
    """
    height_px, width_px = rgb.shape[:2]
    scale = side_px / max(width_px, height_px)
    if scale >= 1:
        return rgb
    size = max(1, round(width_px * scale)), max(1, round(height_px * scale))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg_bytes(rgb: RGB, quality: int) -> bytes:
    """Returns an image, uint8 [H, W, 3], as a JPEG file of a quality from 1 to 100."""
    _, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()
