"""How each metric is written for people: its name, which way is better, its unit and digits."""

from dataclasses import dataclass

from recolor.evaluation.comparison import direction

_ARROWS = {"higher": " ↑", "lower": " ↓", "neither": ""}


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric as a column of a table.

    Attributes:
        metric: A field of `SetMetrics`.
        title: What people call it.
        unit: Or what sort of it; may be empty.
        digits: Behind the point.
        factor: It is shown so many times larger.
        short: Whether it belongs in a table of a terminal's width.
    """

    metric: str
    title: str
    unit: str
    digits: int
    factor: float = 1.0
    short: bool = True

    @property
    def heading(self) -> str:
        """The title, with an arrow that shows which way is better."""
        return self.title + _ARROWS[direction(self.metric)]

    def text(self, value: float) -> str:
        """The value in its unit, such as `23.46`."""
        return f"{self.factor * value:.{self.digits}f}"

    def change(self, value: float) -> str:
        """A difference, with its sign."""
        return f"{self.factor * value:+.{self.digits}f}"


def photographs(count: int) -> str:
    """So many of them, in words."""
    return f"{count:,} photograph{'s' if count != 1 else ''}"


FIGURES: tuple[Figure, ...] = (
    Figure("psnr_db", "PSNR", "dB", 2),
    Figure("ssim", "SSIM", "sRGB", 3),
    Figure("delta_e_2000", "ΔE2000", "mean", 2),
    Figure("ab_rmse", "ab RMSE", "Lab units", 2, short=False),
    Figure("ab_mse", "ab MSE", "· 10³", 2, factor=1000),
    Figure("ab_psnr_db", "ab PSNR", "dB", 2),
    Figure("colourfulness", "Colourfulness", "M(3)", 1),
    Figure("colourfulness_abs", "Colourfulness", "|·| variant", 1, short=False),
    Figure("delta_cf_set", "ΔCF", "set", 1),
    Figure("delta_cf_image", "ΔCF", "image", 1),
    Figure("lpips", "LPIPS", "AlexNet", 3),
    Figure("fid", "FID", "Inception", 1),
    Figure("kid", "KID", "· 10³", 2, factor=1000),
)
