"""The README's Python, run as it is printed there in a cleaned workspace; what was planted there is found."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

README = Path(__file__).parents[2] / "README.md"


def rows_of(workspace, name):
    return pq.read_table(workspace / f"manifests/{name}.parquet").to_pylist()


@pytest.fixture(scope="module")
def found(run_page, cleaned):
    return run_page("README.md", cleaned[1])


def test_it_has_at_most_200_lines():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


def test_the_worst_20_blurry_images_come_worst_first(found, cleaned):
    rows = sorted(rows_of(cleaned[1], "blurry"), key=lambda row: row["score"])
    assert len(rows) > 20, "the blurred pictures must be found, or the 20 are not the worst of more"
    assert found["worst"].to_dict("records") == [
        {name: row[name] for name in ("path", "score", "threshold", "reason")} for row in rows[:20]
    ]


def test_a_picture_is_coloured_at_its_own_size(found, cleaned):
    coloured = found["coloured"]
    with Image.open(cleaned[1] / "old.jpg") as picture:
        assert coloured.size == picture.size
    red, green, blue = (np.asarray(channel, np.int16) for channel in coloured.split())
    assert max(abs(red - green).max(), abs(green - blue).max()) > 5
