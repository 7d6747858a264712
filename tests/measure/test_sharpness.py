import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import data as photographs

from recolor.measure.sharpness import measure_sharpness
from recolor.schemas import SHARPNESS


def grey():
    return cv2.cvtColor(photographs.rocket(), cv2.COLOR_RGB2GRAY)


def test_the_energy_is_that_of_the_laplacian():
    picture = grey()[:416, :640]
    reference = ndimage.laplace(picture.astype(float), mode="mirror")
    numbers = measure_sharpness(picture)
    assert numbers["laplacian_variance_0"] == pytest.approx((reference**2).mean(), rel=1e-5)
    blocks = (reference**2).reshape(26, 16, 40, 16).mean(axis=(1, 3))
    assert numbers["laplacian_block_0"] == pytest.approx(np.percentile(blocks, 95), rel=1e-5)


def test_blur_takes_the_finest_octave_first():
    sharp, soft = measure_sharpness(grey()), measure_sharpness(cv2.GaussianBlur(grey(), (0, 0), 1.5))
    lost = [soft[f"laplacian_variance_{octave}"] / sharp[f"laplacian_variance_{octave}"] for octave in range(4)]
    assert lost[0] < 0.1
    assert lost == sorted(lost)


def test_fog_takes_from_all_octaves_alike():
    sharp, fog = measure_sharpness(grey()), measure_sharpness((grey() * 0.3 + 150).astype(np.uint8))
    lost = [fog[f"laplacian_variance_{octave}"] / sharp[f"laplacian_variance_{octave}"] for octave in range(4)]
    assert max(lost) / min(lost) < 1.6


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (17, 33)])
def test_any_size_can_be_measured(shape):
    numbers = measure_sharpness(np.full(shape, 7, np.uint8))
    assert list(numbers) == [column.name for column in SHARPNESS]
    assert set(numbers.values()) == {0.0}
