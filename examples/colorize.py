"""Colours a photograph with several looks, side by side.

python examples/colorize.py old.jpg looks.png [MODELS]
"""

import sys
from pathlib import Path

from PIL import Image

from recolor import Colorizer, Look

LOOKS = [Look.named(name) for name in ("careful", "natural", "vivid")]


def color_strip(photograph: Path, colorizer: Colorizer) -> Image.Image:
    """Returns the photograph in each of `LOOKS`, from left to right, at full size."""
    with Image.open(photograph) as picture:
        colored = [colorizer(picture, look).convert("RGB") for look in LOOKS]
    width, height = colored[0].size
    strip = Image.new("RGB", (width * len(colored), height))
    for column, image in enumerate(colored):
        strip.paste(image, (column * width, 0))
    return strip


def main(photograph: str, out: str, models: str | None = None) -> None:
    """Colours `photograph` and writes `out`; without `models`, uses the models of the package."""
    colorizer = Colorizer.from_folder(Path(models)) if models else Colorizer.from_pretrained()
    color_strip(Path(photograph), colorizer).save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
