"""FID and KID: distances between coloured images and photographs in Inception's features.

Both take a count for each image, so a bootstrap resample changes the counts and does not run the network again.
"""

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

MIN_IMAGES = 2


def fid(features: Float64Array, truth: Float64Array, counts: Float64Array) -> float:
    """Returns the Fréchet distance |μ - μ'|² + tr(Σ + Σ' - 2 (Σ Σ')^½) of two sets of features.

    Heusel et al. 2017. FID is biased upwards for few images. The bias depends on their number, so compare values only
    for equal numbers of images.

    Args:
        features: Features of the coloured images, [N, D].
        truth: Features of the photographs, [N, D].
        counts: How often each image counts, [N]; they sum to at least 2.
    """
    of_images, of_truth = _centred(features, counts), _centred(truth, counts)
    distance = float(np.square(_mean(features, counts) - _mean(truth, counts)).sum())
    spread = float(np.square(of_images).sum() + np.square(of_truth).sum())
    return max(0.0, distance + spread - 2.0 * _root_trace(of_images, of_truth))


def kid_terms(features: Float64Array, truth: Float64Array) -> Float64Array:
    """Returns the term of each pair of images in KID.

    The term of images i and j is k(xi, xj) + k(yi, yj) - k(xi, yj) - k(xj, yi) with k(x, y) = (x·y / D + 1)³.

    Args:
        features: Features x of the coloured images, [N, D].
        truth: Features y of the photographs, [N, D].

    Returns:
        Terms [N, N]; the diagonal is zero.
    """
    between = _kernel(features, truth)
    terms = _kernel(features, features) + _kernel(truth, truth) - between - between.T
    np.fill_diagonal(terms, 0.0)
    return terms


def kid(terms: Float64Array, counts: Float64Array) -> Float64Array:
    """Returns KID, the unbiased squared MMD of paired samples over all images.

    Bińkowski et al. 2018; Gretton et al. 2012, eq. 4. The estimate for unpaired samples also compares each coloured
    image with its own photograph. Here it would be too small, and below 0 for equal images; this estimate is 0 for
    them. An image that a resample draws twice is not compared with itself.

    Args:
        terms: Result of `kid_terms`.
        counts: How often each image counts in each of B resamples, [B, N].

    Returns:
        KID of each resample, [B]; 0 if a resample contains one image only.
    """
    pairs = counts.sum(axis=1) ** 2 - np.square(counts).sum(axis=1)
    sums: Float64Array = np.einsum("bn,bn->b", counts @ terms, counts)
    return np.asarray(sums / np.maximum(pairs, 1.0))


def _mean(features: Float64Array, counts: Float64Array) -> Float64Array:
    mean: Float64Array = counts @ features / counts.sum()
    return mean


def _centred(features: Float64Array, counts: Float64Array) -> Float64Array:
    """Returns A [n, D] with A'A equal to the covariance; n images have a count above 0."""
    drawn = counts > 0
    weights = np.sqrt(counts[drawn] / (counts.sum() - 1))
    centred: Float64Array = weights[:, None] * (features[drawn] - _mean(features, counts))
    return centred


def _root_trace(first: Float64Array, second: Float64Array) -> float:
    """Returns the trace of (A'A B'B)^½: the sum of the singular values of A B'.

    A B' is the smaller matrix for few images.
    """
    if len(first) > first.shape[1]:  # by triangular factors of D x D
        first, second = (np.asarray(np.linalg.qr(one, mode="r")) for one in (first, second))
    return float(np.linalg.svd(first @ second.T, compute_uv=False).sum())


def _kernel(first: Float64Array, second: Float64Array) -> Float64Array:
    cubed: Float64Array = (first @ second.T / first.shape[1] + 1.0) ** 3
    return cubed
