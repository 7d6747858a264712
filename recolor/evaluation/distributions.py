"""FID and KID: how far the coloured images, as a set, are from the photographs, by Inception's features of both.

Both take how often each image counts, so that a resample is another weight and not another run of the network.
"""

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

MIN_IMAGES = 2


def fid(features: Float64Array, truth: Float64Array, counts: Float64Array) -> float:
    """Fréchet distance of the two sets' Gaussians (Heusel et al. 2017): |μ - μ'|² + tr(Σ + Σ' - 2 (Σ Σ')^½).

    With few images it is too large (by how much depends on their number, so compare at equal numbers only).

    Args:
        features: Of the coloured images, [N, D].
        truth: Of the photographs, [N, D].
        counts: [N], how often each image counts; at least two images in all.
    """
    of_images, of_truth = _centred(features, counts), _centred(truth, counts)
    distance = float(np.square(_mean(features, counts) - _mean(truth, counts)).sum())
    spread = float(np.square(of_images).sum() + np.square(of_truth).sum())
    return max(0.0, distance + spread - 2.0 * _root_trace(of_images, of_truth))


def kid_terms(features: Float64Array, truth: Float64Array) -> Float64Array:
    """What each two images i and j add to KID: k(xi, xj) + k(yi, yj) - k(xi, yj) - k(xj, yi), k = (x·y / D + 1)³.

    Args:
        features: x, of the coloured images, [N, D].
        truth: y, of the photographs, [N, D].

    Returns:
        [N, N], with zeros for each image with itself.
    """
    between = _kernel(features, truth)
    terms = _kernel(features, features) + _kernel(truth, truth) - between - between.T
    np.fill_diagonal(terms, 0.0)
    return terms


def kid(terms: Float64Array, counts: Float64Array) -> Float64Array:
    """Unbiased squared MMD (Bińkowski et al. 2018) of pairs: Gretton et al. 2012, eq. 4, over all images at once.

    The estimate for two unrelated sets also holds each coloured image against its own photograph, and so comes out too
    small here, below 0 for equal images; this one is 0 then. In a resample, an image that was drawn twice is not held
    against itself either.

    Args:
        terms: Of the features.
        counts: [B, N], how often each image counts, in B resamples.

    Returns:
        [B]; 0 where a resample is of one image alone.
    """
    pairs = counts.sum(axis=1) ** 2 - np.square(counts).sum(axis=1)
    sums: Float64Array = np.einsum("bn,bn->b", counts @ terms, counts)
    return np.asarray(sums / np.maximum(pairs, 1.0))


def _mean(features: Float64Array, counts: Float64Array) -> Float64Array:
    mean: Float64Array = counts @ features / counts.sum()
    return mean


def _centred(features: Float64Array, counts: Float64Array) -> Float64Array:
    """A [n, D] whose A'A is the covariance; images that do not count are left out."""
    drawn = counts > 0
    weights = np.sqrt(counts[drawn] / (counts.sum() - 1))
    centred: Float64Array = weights[:, None] * (features[drawn] - _mean(features, counts))
    return centred


def _root_trace(first: Float64Array, second: Float64Array) -> float:
    """Trace of (A'A B'B)^½: its eigenvalues are the singular values of A B', which is the smaller for few images."""
    if len(first) > first.shape[1]:  # by triangular factors of D x D
        first, second = (np.asarray(np.linalg.qr(one, mode="r")) for one in (first, second))
    return float(np.linalg.svd(first @ second.T, compute_uv=False).sum())


def _kernel(first: Float64Array, second: Float64Array) -> Float64Array:
    cubed: Float64Array = (first @ second.T / first.shape[1] + 1.0) ** 3
    return cubed
