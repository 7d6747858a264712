"""Metrics of a coloured image: its error against the photograph, and its colourfulness.

No single metric is sufficient. Colours averaged to grey-brown have a high PSNR and a low colourfulness; vivid but wrong
colours have the reverse. Both are therefore reported together, and next to those of the controls.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000
from skimage.metrics import structural_similarity

from recolor.color.lab import rgb_to_lab

RGB = NDArray[np.uint8]
AB = NDArray[np.float32]

MAX_PSNR_DB = 100.0
_WANG_2004 = {
    "channel_axis": -1,
    "data_range": 255,
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageMetrics:
    """Metrics of one coloured image; the fields are columns of `per_image.parquet`."""

    psnr_db: float
    ssim: float
    delta_e_2000: float
    ab_mse: float
    ab_rmse: float
    ab_psnr_db: float
    ab_distance: float
    colourfulness: float
    colourfulness_abs: float
    truth_colourfulness: float
    truth_colourfulness_abs: float
    delta_cf: float
    lpips: float | None = None


def image_metrics(rgb: RGB, truth: RGB, ab: AB, truth_ab: AB, lpips: float | None = None) -> ImageMetrics:
    """Returns the metrics of one image.

    Args:
        rgb: Coloured image, as it would be saved: uint8 sRGB [H, W, 3].
        truth: Photograph, uint8 sRGB [H, W, 3].
        ab: Predicted a and b, float32 [H, W, 2] in Lab units, before anything is clipped.
        truth_ab: a and b of the photograph, float32 [H, W, 2] in Lab units.
        lpips: LPIPS, if its weights are available; see `networks.lpips_distance`.
    """
    mse = ab_mse(ab, truth_ab)
    own, truths = colourfulness(rgb), colourfulness(truth)
    return ImageMetrics(
        psnr_db=psnr_db(rgb, truth),
        ssim=ssim(rgb, truth),
        delta_e_2000=delta_e_2000(rgb, truth),
        ab_mse=mse,
        ab_rmse=255.0 * mse**0.5,
        ab_psnr_db=ab_psnr_db(mse),
        ab_distance=ab_distance(ab, truth_ab),
        colourfulness=own,
        colourfulness_abs=colourfulness(rgb, absolute=True),
        truth_colourfulness=truths,
        truth_colourfulness_abs=colourfulness(truth, absolute=True),
        delta_cf=abs(own - truths),
        lpips=lpips,
    )


def psnr_db(rgb: RGB, truth: RGB) -> float:
    """Returns the peak signal-to-noise ratio of all three channels in dB: 10 log10(255² / MSE).

    The value is limited to 100 dB, that of equal images, so that a mean over images stays finite.
    """
    return _decibels(float(np.mean(np.square(rgb.astype(np.float64) - truth))) / 255.0**2)


def ssim(rgb: RGB, truth: RGB) -> float:
    """Returns the structural similarity, the mean over the three sRGB channels, -1..1.

    Uses the parameters of Wang et al. 2004: Gaussian window of σ = 1.5, K1 = 0.01, K2 = 0.03, range 255, population
    covariance. Images must have at least 11 pixels a side.
    """
    return float(structural_similarity(rgb, truth, **_WANG_2004))  # type: ignore[no-untyped-call]  # skimage has no types


def delta_e_2000(rgb: RGB, truth: RGB) -> float:
    """Returns the mean CIEDE2000 difference (CIE 142-2001, kL = kC = kH = 1) of two sRGB images.

    A difference of 1 is just noticeable.
    """
    difference = deltaE_ciede2000(_lab(truth), _lab(rgb))  # type: ignore[no-untyped-call]  # skimage has no types
    return float(np.mean(difference))


def ab_mse(ab: AB, truth_ab: AB) -> float:
    """Returns the mean squared error of a and b in units of (ab + 128) / 255.

    Older colorizers report it in these units. The RMSE in Lab units is 255 times its square root.
    """
    return float(np.mean(np.square((ab.astype(np.float64) - truth_ab) / 255.0)))


def ab_psnr_db(mse: float) -> float:
    """Returns the PSNR of a and b, -10 log10(ab_mse), at most 100 dB; its range is 255 units."""
    return _decibels(mse)


def ab_distance(ab: AB, truth_ab: AB) -> float:
    """Returns the mean Euclidean distance |Δab| in Lab units."""
    return float(np.mean(np.linalg.norm(ab.astype(np.float64) - truth_ab, axis=-1)))


def colourfulness(rgb: RGB, *, absolute: bool = False) -> float:
    """Returns the colourfulness M(3) = σ + 0.3 μ of the opponent channels rg and yb; 0 is grey.

    Hasler and Süsstrunk 2003, section 7.

    Args:
        rgb: uint8 sRGB [H, W, 3].
        absolute: Use |rg| and |yb| for mean and deviation. The paper does not, but some implementations do, and their
            values appear in some papers.
    """
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    rg, yb = red - green, 0.5 * (red + green) - blue
    if absolute:
        rg, yb = np.abs(rg), np.abs(yb)
    deviation = np.hypot(rg.std(), yb.std())
    mean = np.hypot(rg.mean(), yb.mean())
    return float(deviation + 0.3 * mean)


def _decibels(mse: float) -> float:
    """Returns the PSNR of a mean squared error in units of the squared range."""
    return MAX_PSNR_DB if mse == 0.0 else min(MAX_PSNR_DB, -10.0 * math.log10(mse))


def _lab(rgb: RGB) -> NDArray[np.float64]:
    return rgb_to_lab(rgb).astype(np.float64)
