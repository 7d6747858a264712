"""Colour from the models' size to the photograph's, along the edges of its lightness.

Measured on photographs (true ab reduced by area to a quarter, enlarged, against the true ab), this is nearer than
bilinear and bicubic interpolation, nearest at edges; the guided filter itself (He, Sun and Tang 2013, "Guided Image
Filtering"; its fast form, 2015) and joint bilateral upsampling (Kopf et al. 2007) are mostly farther off than bicubic,
as they smooth the colour that they are given. So only what the guided filter knows beyond interpolation is taken: how
much colour changes with lightness.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_RADIUS_PX = 1  # at the models' size; wider windows hold more than one surface
_EPSILON = np.float32(128)  # squared units of L: texture below about 11 units of L moves colour little
_CUBIC_MEAN = np.array([-0.0195326, 0.0937578, 0.8515496, 0.0937578, -0.0195326], np.float32)


def upsample(ab: Float32Array, L_small: Float32Array, L: Float32Array) -> Float32Array:
    """Brings ab to the size of the photograph.

    Bicubic, so sharpened that the mean over each square of the small ab keeps its colour, plus the slope of colour over
    lightness (the guided filter's a_k, He et al. 2013, eq. 5) times the lightness that interpolation does not know of.

    Args:
        ab: [h, w, 2], Lab units.
        L_small: [h, w], what the colour was predicted from, 0..100.
        L: [H, W], of the photograph, 0..100.

    Returns:
        float32 [H, W, 2].
    """
    height_px, width_px = L.shape
    if height_px <= ab.shape[0] or width_px <= ab.shape[1]:
        return resize(ab, width_px, height_px)
    detail = L - resize(L_small, width_px, height_px)
    channels = []
    for channel in range(2):
        small = np.ascontiguousarray(ab[..., channel])
        fine = resize(_slope(small, L_small), width_px, height_px)
        fine *= detail
        fine += resize(_sharpened(small), width_px, height_px)
        channels.append(fine)
    return np.asarray(cv2.merge(channels), np.float32)


def resize(image: Float32Array, width_px: int, height_px: int) -> Float32Array:
    """Area filter along the sides that shrink, bicubic along those that grow; pixel centres aligned.

    Args:
        image: [h, w] or [h, w, C].
        width_px: New width.
        height_px: New height.
    """
    shrunk = (min(width_px, image.shape[1]), min(height_px, image.shape[0]))
    if shrunk != (image.shape[1], image.shape[0]):
        image = np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.float32)
    if shrunk != (width_px, height_px):
        image = np.asarray(cv2.resize(image, (width_px, height_px), interpolation=cv2.INTER_CUBIC), np.float32)
    return image


def _slope(channel: Float32Array, L: Float32Array) -> Float32Array:
    """Covariance with L over its variance, in a small window around each pixel, averaged over the windows it is in."""
    mean_L, mean = _window_mean(L), _window_mean(channel)
    variance = _window_mean(L * L) - mean_L * mean_L
    covariance = _window_mean(L * channel) - mean_L * mean
    return _window_mean(np.asarray(covariance / (variance + _EPSILON), np.float32))


def _window_mean(image: Float32Array) -> Float32Array:
    side_px = 2 * _RADIUS_PX + 1
    return np.asarray(cv2.boxFilter(image, -1, (side_px, side_px), borderType=cv2.BORDER_REFLECT), np.float32)


def _sharpened(channel: Float32Array) -> Float32Array:
    """What to interpolate so that it has the given means: one step of back-projection.

    OpenCV's bicubic surface, averaged over a small pixel again, is the small image under the filter `_CUBIC_MEAN`.
    """
    averaged = cv2.sepFilter2D(channel, -1, _CUBIC_MEAN, _CUBIC_MEAN, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(2 * channel - averaged, np.float32)
