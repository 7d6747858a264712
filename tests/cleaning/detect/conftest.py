import io

import pyarrow as pa
import pytest
from PIL import Image

from recolor.cleaning.measure.rows import IndexedFile, measure_files
from recolor.config.settings import MeasureConfig
from recolor.manifests.schemas import MEASUREMENTS


@pytest.fixture
def measured(tmp_path):
    """Writes pictures (path -> uint8 [H, W, 3], or bytes of a file) and returns their table, sorted by path."""

    def measure(pictures, config=None):
        rows, files = [], []
        for path, picture in sorted(pictures.items()):
            data = picture if isinstance(picture, bytes) else _jpeg(picture)
            (tmp_path / path).write_bytes(data)
            rows.append({"path": path, "size_bytes": len(data), "mtime_ns": 0})
            files.append(IndexedFile(tmp_path / path, len(data)))
        numbers = measure_files(files, config or MeasureConfig())
        rows = [row | measured for row, measured in zip(rows, numbers, strict=True)]
        return pa.Table.from_pylist(rows, schema=MEASUREMENTS.arrow)

    return measure


@pytest.fixture
def numbers():
    """Makes a table of rows that give some columns; the others are null."""
    return lambda rows: pa.Table.from_pylist(
        [{"size_bytes": 1, "mtime_ns": 0} | row for row in rows], schema=MEASUREMENTS.arrow
    )


@pytest.fixture
def jpeg():
    """Encodes uint8 [H, W, 3] as a JPEG."""
    return _jpeg


def _jpeg(picture, quality=90, **options):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()
