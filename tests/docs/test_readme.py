"""The README's Python, run as it stands there in a cleaned workspace; what was planted there is found."""

import re
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from recolor.config.settings import Config, MonochromeConfig, SkewedConfig
from recolor.demo import render_landscape
from recolor.pipeline.workspace import open_workspace
from recolor.stages import CLEANING, run_stages

README = Path(__file__).parents[2] / "README.md"
WITHOUT_COLOUR = Config(monochrome=MonochromeConfig(enabled=False), skewed=SkewedConfig(enabled=False))


def rows_of(cleaned, name):
    return pq.read_table(cleaned[1] / f"manifests/{name}.parquet").to_pylist()


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


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory):
    images, workspace = (tmp_path_factory.mktemp("readme") / name for name in ("images", "workspace"))
    for name, data in pictures().items():
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(data)
    list(run_stages(CLEANING, open_workspace(workspace), images, WITHOUT_COLOUR))
    (workspace / "old.jpg").write_bytes(images.joinpath("lake/00.jpg").read_bytes())
    return images, workspace


@pytest.fixture
def found(cleaned, monkeypatch):
    """What the README's blocks bind, run one after the other in the workspace."""
    monkeypatch.chdir(cleaned[1])
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        exec(compile(block, README, "exec"), names)
    return names


def test_the_worst_20_blurry_images_come_worst_first(found, cleaned):
    rows = sorted(rows_of(cleaned, "blurry"), key=lambda row: row["score"])
    assert len(rows) > 20, "the blurred pictures must be found, or the 20 are not the worst of more"
    assert found["worst"].to_dict("records") == [
        {name: row[name] for name in ("path", "score", "threshold", "reason")} for row in rows[:20]
    ]


def test_duplicates_come_with_their_copies_and_bytes_most_first(found, cleaned):
    size = {name: (cleaned[0] / name).stat().st_size for name in ("lake/same.jpg", "copies/60.jpg", "copies/50.jpg")}
    saved = found["saved"]
    assert saved.index.tolist() == ["lake/03.jpg", "lake/04.jpg"]
    assert saved["copies"].tolist() == [2, 1]
    assert saved["bytes_saved"].tolist() == [size["lake/same.jpg"] + size["copies/60.jpg"], size["copies/50.jpg"]]


def test_outliers_are_counted_by_folder_and_issue(found, cleaned):
    counts = {key: count for key, count in found["by_folder"].stack().items() if count}
    blurry = sum(row["path"].startswith("sea/long way/") for row in rows_of(cleaned, "blurry"))
    assert counts == {
        ("", "corrupt"): 1,
        ("copies", "duplicate"): 2,
        ("lake", "duplicate"): 1,
        ("old", "blurry"): 1,
        ("old", "low_resolution"): 1,
        ("sea/long way", "blurry"): blurry,
    }


def test_what_is_rejected_for_two_reasons_has_both(found):
    twice = found["twice"]
    assert twice["path"].tolist() == ["old/tiny.jpg"]
    assert set(twice["issues"].item()) == {"blurry", "low_resolution"}
    assert len(twice["reasons"].item()) == 2


def test_a_picture_is_coloured_at_its_own_size(found, cleaned):
    coloured = found["coloured"]
    with Image.open(cleaned[1] / "old.jpg") as picture:
        assert coloured.size == picture.size
    red, green, blue = (np.asarray(channel, np.int16) for channel in coloured.split())
    assert max(abs(red - green).max(), abs(green - blue).max()) > 5
