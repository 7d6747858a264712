"""Looks: their range, and their names."""

from typing import get_args

import pytest

from recolor.colorize import Look
from recolor.colorize.look import LOOKS
from recolor.config.settings import LookName
from recolor.errors import ConfigError


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"saturation": -0.1}, "saturation = -0.1"),
        ({"saturation": float("nan")}, "saturation = nan"),
        ({"saturation": float("inf")}, "saturation = inf"),
        ({"temperature": 0.0}, "temperature = 0.0"),
        ({"temperature": 1.1}, "temperature = 1.1"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"chroma_contrast": -0.1}, "chroma_contrast = -0.1"),
        ({"chroma_contrast": 2.1}, "chroma_contrast = 2.1"),
        ({"chroma_contrast": float("nan")}, "chroma_contrast = nan"),
    ],
)
def test_an_impossible_look_is_refused(look, said):
    with pytest.raises(ConfigError, match=said):
        Look(**look)


def test_looks_have_names():
    assert tuple(LOOKS) == get_args(LookName)
    careful, natural, vivid = (Look.named(name) for name in LOOKS)
    assert (careful.temperature, careful.rebalanced) == (0.6, False)
    assert natural == Look()
    assert careful.saturation == natural.saturation < vivid.saturation


def test_an_unknown_look_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"look = 'carefull'.*careful, natural, vivid\. Did you mean 'careful'\?"):
        Look.named("carefull")
