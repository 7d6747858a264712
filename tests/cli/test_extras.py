"""The command line without the optional packages."""

import subprocess
import sys

import pytest
from PIL import Image

from recolor.demo import render_landscape

OPTIONAL = (
    "dask", "distributed", "fastapi", "griffe", "hypothesis", "imagehash", "matplotlib", "onnx", "onnxruntime",
    "onnxscript", "prefect", "prefect_dask", "psutil", "pytest", "scipy", "skimage", "tensorboard",
    "tifffile", "torch_fidelity", "torchmetrics",
)  # fmt: skip


def recolor(*arguments):
    """Runs the command line in a process in which only the base dependencies can be imported."""
    program = (
        f"import sys; sys.modules |= dict.fromkeys({OPTIONAL}); sys.argv = ['recolor', *{arguments}]\n"
        "from recolor.cli.main import main; main()"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for seed in range(4):
        Image.fromarray(render_landscape(seed, 300, 240)).save(folder / f"{seed}.jpg", quality=95)
    return folder


@pytest.mark.parametrize("words", [["run", "--prefect"], ["up"]])
def test_without_prefect_the_flows_name_the_extra_to_install(tmp_path, words):
    done = recolor(*words, "--images", str(tmp_path), "--workspace", str(tmp_path / "workspace"))
    assert done.returncode == 2, done.stderr
    assert "Prefect flows: the package `prefect` is not installed. Run `pip install 'recolor[flows]'`" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_matplotlib_training_names_the_extra_to_install(tmp_path):
    done = recolor("train", "generator", "--workspace", str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "is not installed. Run `pip install 'recolor[train]'`" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_base_dependencies_are_enough_to_colour_a_photograph(tmp_path, photographs):
    done = recolor("colorize", "--device", "cpu", str(photographs / "0.jpg"), str(tmp_path / "coloured.png"))
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "coloured.png") as picture:
        assert picture.size == (300, 240)


def test_the_base_dependencies_are_enough_to_clean_and_to_write_shards(tmp_path, photographs):
    places = ("--workspace", str(tmp_path / "workspace"))
    small = ("--set", "low_resolution.min_side_px=64")
    for words in (["clean", "--images", str(photographs)], ["gallery"], ["shard"]):
        done = recolor(*words, *places, *small)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "workspace/data/shards/index.parquet").is_file()
