from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from recolor.color.gamut import join
from recolor.color.lab import rgb_to_lab
from recolor.evaluation.turing.pairs import Pair, encode, rejoined


def repaint(rgb):
    """Every pixel's lightness with a colour that comes from its lightness alone, as a model's does."""
    L = np.ascontiguousarray(rgb_to_lab(rgb)[..., 0])
    return join(L, np.stack((10 - L / 5, L / 4 - 15), axis=2).astype(np.float32))


@pytest.fixture
def colorizer():
    return SimpleNamespace(colorize_rgb=repaint)


def photograph(number):
    """Crops of colour photographs, each another."""
    picture = (data.astronaut, data.coffee, data.chelsea, data.rocket)[number % 4]()
    return picture[8 * number : 8 * number + 120, 40 : 40 + 160]


@pytest.fixture
def photos(tmp_path):
    """Eight photographs, of which two are in a folder of their own."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for number in range(8):
        Image.fromarray(photograph(number)).save(folder / ("sub" if number > 5 else "") / f"{number}.png")
    return folder


@pytest.fixture
def pairs():
    """Twelve pairs with names that want to be markup, script, formulas or two lines."""
    names = [
        "<img src=x onerror=document.title='taken'>.jpg",
        "a<" + "/script><script>document.title='taken'<" + "/script>.jpg",
        "quote\" and 'single', comma.jpg",
        "new\nline\r\n.jpg",
        "{{ 7 * 7 }} 100% #1?.jpg",
        "&amp;quot; \u202e\u2028 山.jpg",
        *(f"{number}.jpg" for number in range(6)),
    ]
    pictures = [photograph(number) for number in range(len(names))]
    return [Pair(name, encode(rejoined(rgb)), encode(repaint(rgb))) for name, rgb in zip(names, pictures, strict=True)]
