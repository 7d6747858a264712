"""The look of coloured photographs: how bold the colours are that are read from a predicted distribution."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from recolor.errors import ConfigError

_MAX_SATURATION = 100
_MAX_CHROMA_CONTRAST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How colours are read from a predicted distribution.

    Attributes:
        saturation: Factor on a and b, 0 to 100: 0 gives grey, 1 the predicted colours.
        temperature: Temperature T of the annealed mean, above 0 to 1; lower is more vivid. None uses the model's own.
        rebalanced: Whether rare colours are as probable as in training, which gives them more weight than they have in
            photographs (Zhang et al. 2016, eq. 4).
        tilt: Exponential tilt of the distribution towards a and b, in 1 / Lab units, each -1 to 1: a colour's
            probability is multiplied by exp(tilt · ab). Colours change where the model is unsure, and hardly where it
            is sure. See `recolor.colorize.candidates`.
        chroma_contrast: Contrast N of chroma within a photograph, 0 to 2: a chroma C becomes proportional to
            C (C + 1)^N, with the same root mean square. What is pale becomes greyer, what is colourful more colourful.

    Raises:
        ConfigError: A value is out of range.

    Examples:
        >>> from recolor import Look
        >>> bold = Look(saturation=1.3, temperature=0.3)
        >>> careful = Look.named("careful")
    """

    saturation: float = 1.0
    temperature: float | None = None
    rebalanced: bool = True
    tilt: tuple[float, float] = (0.0, 0.0)
    chroma_contrast: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.saturation <= _MAX_SATURATION:
            raise ConfigError(
                f"saturation = {self.saturation}: not allowed. Allowed: 0 (grey) to {_MAX_SATURATION}; 1 as predicted."
            )
        if self.temperature is not None and not 0 < self.temperature <= 1:
            raise ConfigError(f"temperature = {self.temperature}: not allowed. Allowed: above 0, at most 1.")
        if not all(-1 <= part <= 1 for part in self.tilt):
            raise ConfigError(f"tilt = {self.tilt}: not allowed. Allowed: two numbers from -1 to 1.")
        if not 0 <= self.chroma_contrast <= _MAX_CHROMA_CONTRAST:
            raise ConfigError(
                f"chroma_contrast = {self.chroma_contrast}: not allowed. Allowed: 0 (none) to {_MAX_CHROMA_CONTRAST}."
            )

    @classmethod
    def named(cls, name: str) -> "Look":
        """Returns a look of `LOOKS`.

        Args:
            name: `careful`, `natural` or `vivid`.

        Raises:
            ConfigError: There is no look of that name.
        """
        if name not in LOOKS:
            near = get_close_matches(name, LOOKS, 1)
            nearest = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"look = {name!r}: not allowed. Allowed: {', '.join(LOOKS)}.{nearest}")
        return LOOKS[name]


# `careful` is the annealed mean of the true distribution; at T = 0.6 it errs less than at 1 on validation photographs.
# `natural` is what the model's own temperature gives. `vivid` is nearly as colourful as photographs, and further off
# where the model errs; the contrast leaves pale what the model is unsure of.
LOOKS: Mapping[str, Look] = {
    "careful": Look(temperature=0.6, rebalanced=False),
    "natural": Look(),
    "vivid": Look(saturation=1.34, chroma_contrast=0.5),
}
