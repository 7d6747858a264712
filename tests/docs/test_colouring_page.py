"""The Python of docs/colouring.md, run as it is printed there."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def found(run_page, cleaned):
    return run_page("docs/colouring.md", cleaned[1])


@pytest.mark.slow  # the models of the package
def test_a_picture_is_coloured_at_its_own_size(found, cleaned):
    coloured = found["coloured"]
    with Image.open(cleaned[1] / "old.jpg") as picture:
        assert coloured.size == picture.size
    red, green, blue = (np.asarray(channel, np.int16) for channel in coloured.split())
    assert max(abs(red - green).max(), abs(green - blue).max()) > 5
