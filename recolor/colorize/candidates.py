"""Other colours that a photograph may have had, where the model is unsure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from recolor.colorize.colorizer import Colorizer, Distribution
from recolor.colorize.look import Look

_STRENGTH = 0.05  # 1 / Lab units: moves the mean of a distribution by 0.05 times its variance along the direction
_MIN_CHANGE = 5.0  # Lab units: two candidates that differ less look alike
# Directions in the plane of a and b, as hue angles: orange against blue, and green against magenta.
_HUES_DEG: Mapping[str, float] = {"warmer": 65.0, "cooler": 255.0, "greener": 140.0, "pinker": 345.0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A colouring beside the predicted one.

    Attributes:
        name: `warmer`, `cooler`, `greener` or `pinker`.
        look: The look that gives it.
        change: Mean distance of its ab from the predicted ones, in Lab units.
    """

    name: str
    look: Look
    change: float


def find_candidates(colorizer: Colorizer, predicted: Distribution, look: Look) -> tuple[Candidate, ...]:
    """Returns the candidates that differ visibly from a look, the one that differs most first.

    The predicted distribution is tilted towards a hue (exponential tilting; Efron 1981, "Nonparametric standard errors
    and confidence intervals", section 11). Where the model is sure of a colour, all its candidates have that colour; a
    photograph without doubtful colours has no candidates. A model with a regression head has none either.

    Args:
        colorizer: The models.
        predicted: Prediction for one photograph.
        look: The look beside which the candidates are shown; they keep its temperature and saturation.
    """
    usual = colorizer.read_ab(predicted, look)[0]
    found = []
    for name, hue_deg in _HUES_DEG.items():
        tilt = (_STRENGTH * math.cos(math.radians(hue_deg)), _STRENGTH * math.sin(math.radians(hue_deg)))
        other = replace(look, tilt=tilt)
        difference = look.saturation * (colorizer.read_ab(predicted, other)[0] - usual)
        found.append(Candidate(name, other, float(np.hypot(difference[..., 0], difference[..., 1]).mean())))
    return tuple(sorted((one for one in found if one.change >= _MIN_CHANGE), key=lambda one: -one.change))
