"""A cleaned workspace in which the Python of the documents is run, as it is printed there."""

import contextlib
import re
from io import BytesIO
from pathlib import Path

import cv2
import pytest
from PIL import Image

from recolor.config.loading import load_config
from recolor.config.settings import Config, MonochromeConfig, SkewedConfig
from recolor.demo import render_landscape
from recolor.pipeline.workspace import open_workspace
from recolor.stages import CLEANING, STAGES, run_each

ROOT = Path(__file__).parents[2]
WITHOUT_COLOUR = Config(monochrome=MonochromeConfig(enabled=False), skewed=SkewedConfig(enabled=False))

# Tiny networks, trained for two steps: a workspace as `recolor run` leaves it, in seconds.
SMALL = """
preset = "demo"
select = { val_fraction = 0.2, test_fraction = 0.3 }
monochrome = { enabled = false }
skewed = { enabled = false }
shard = { size_px = 64 }
execution = { workers = 1, runner = "threads" }
[generator]
model = { encoder_weights = "none", width = 8, blocks = 1 }
train = { steps = 2, batch_images = 2, crop_px = 64, warmup_steps = 1, checkpoint_steps = 2, validate_steps = 2 }
[refiner]
model = { encoder_weights = "none", width = 8, blocks = 1 }
train = { steps = 2, batch_images = 2, crop_px = 64, warmup_steps = 1, checkpoint_steps = 2, validate_steps = 2 }
"""


def jpeg(seed, sigma_px=0.0, width_px=400, quality=92):
    rgb = render_landscape(seed, width_px, width_px * 3 // 4)
    file = BytesIO()
    Image.fromarray(cv2.GaussianBlur(rgb, (0, 0), sigma_px) if sigma_px else rgb).save(file, "JPEG", quality=quality)
    return file.getvalue()


def pictures():
    """Sharp landscapes, blurred ones of other places, copies of two, a small blurred one, a broken one."""
    sharp = {f"lake/{seed:02}.jpg": jpeg(seed) for seed in range(12)}
    blurred = {f"sea/long way/{seed}.jpg": jpeg(100 + seed, 1.5 + seed / 40) for seed in range(30)}
    copies = {
        "lake/same.jpg": sharp["lake/03.jpg"],
        "copies/60.jpg": jpeg(3, quality=60),
        "copies/50.jpg": jpeg(4, quality=50),
    }
    broken = {"top.jpg": sharp["lake/05.jpg"][:5000], "old/tiny.jpg": jpeg(300, 2.0, width_px=200)}
    return sharp | blurred | copies | broken


@pytest.fixture(scope="session")
def cleaned(tmp_path_factory):
    """The folder of images, and its cleaned workspace."""
    images, workspace = (tmp_path_factory.mktemp("docs") / name for name in ("images", "workspace"))
    for name, data in pictures().items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(data)
    list(run_each(CLEANING, open_workspace(workspace), images, WITHOUT_COLOUR))
    (workspace / "old.jpg").write_bytes(images.joinpath("lake/00.jpg").read_bytes())
    return images, workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A workspace in which every stage has run, with its photographs in `images/`."""
    root = tmp_path_factory.mktemp("finished")
    (root / "recolor.toml").write_text(SMALL)
    (root / "images").mkdir()
    for seed in range(16):
        (root / f"images/{seed:02}.jpg").write_bytes(jpeg(seed))
    (root / "old.jpg").write_bytes(jpeg(50, width_px=300))
    config = load_config(file=root / "recolor.toml")
    list(run_each(STAGES, open_workspace(root), root / "images", config))
    return root


@pytest.fixture(scope="session")
def run_page():
    """Runs a page's blocks of Python one after the other in a workspace; returns the names they bind."""

    def run(page, workspace):
        names = {}
        text = (ROOT / page).read_text(encoding="utf-8")
        with contextlib.chdir(workspace):
            for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
                exec(compile(block, page, "exec"), names)
        return names

    return run
