import numpy as np
from skimage import data

from recolor.color.lab import rgb_to_lab
from recolor.colorize import Colorizer
from recolor.colorize.look import LOOKS
from recolor.models.pretrained import models_folder


def test_the_pretrained_models_are_small_and_documented():
    files = [path for path in models_folder().rglob("*") if path.suffix in (".safetensors", ".json", ".md")]
    assert {path.name for path in files} == {"config.json", "model.safetensors", "MODEL_CARD.md"}
    assert sum(path.stat().st_size for path in files) <= 25e6


def test_the_pretrained_models_colour_a_photograph():
    rgb = data.rocket()
    coloured = Colorizer.from_pretrained("cpu").colorize_rgb(rgb).astype(np.int16)
    assert coloured.shape == rgb.shape
    assert np.abs(coloured[..., 0] - coloured[..., 2]).mean() > 2


def test_looks_are_named_from_the_palest_to_the_boldest():
    colorizer = Colorizer.from_pretrained("cpu")
    for photograph in (data.rocket(), data.coffee(), data.chelsea()):
        labs = (rgb_to_lab(colorizer.colorize_rgb(photograph, look)) for look in LOOKS.values())
        careful, natural, vivid = (float(np.hypot(lab[..., 1], lab[..., 2]).mean()) for lab in labs)
        assert careful < natural < vivid
