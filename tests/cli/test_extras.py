"""The command line without the optional packages."""

import subprocess
import sys

import pytest
from PIL import Image

from recolor.demo import render_landscape

OPTIONAL = (
    "av", "dask", "distributed", "fastapi", "griffe", "hypothesis", "imagehash", "matplotlib", "onnx", "onnxruntime",
    "onnxscript", "prefect", "prefect_dask", "psutil", "pytest", "scipy", "skimage", "tensorboard",
    "torch_fidelity", "torchmetrics",
)  # fmt: skip


def recolor(*commands):
    """Runs commands one after the other in a process in which only the base dependencies can be imported."""
    program = (
        f"import sys; sys.modules |= dict.fromkeys({OPTIONAL})\n"
        "from recolor.cli.main import main\n"
        f"for words in {commands}:\n    sys.argv = ['recolor', *words]; main()"
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
    done = recolor([*words, "--images", str(tmp_path), "--workspace", str(tmp_path / "workspace")])
    assert done.returncode == 2, done.stderr
    assert "Prefect flows: the package `prefect` is not installed. Run `pip install 'recolor[flows]'`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_photograph_is_coloured_with_the_base_dependencies_and_training_names_the_extra(tmp_path, photographs):
    colorize = ["colorize", "--device", "cpu", str(photographs / "0.jpg"), str(tmp_path / "coloured.png")]
    done = recolor(colorize, ["train", "generator", "--workspace", str(tmp_path)])
    with Image.open(tmp_path / "coloured.png") as picture:
        assert picture.size == (300, 240)
    assert done.returncode == 2, done.stderr
    assert "is not installed. Run `pip install 'recolor[train]'`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow  # processes that import everything anew
def test_the_base_dependencies_are_enough_to_clean_and_to_write_shards(tmp_path, photographs):
    options = ("--workspace", str(tmp_path / "workspace"), "--set", "low_resolution.min_side_px=64")
    commands = (["clean", "--images", str(photographs)], ["gallery"], ["shard"])
    done = recolor(*([*words, *options] for words in commands))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "workspace/data/shards/index.parquet").is_file()
