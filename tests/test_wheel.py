"""The wheel, built and installed in a fresh environment: what users get, without the project's folder."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import httpx
import pytest
from PIL import Image

import recolor
from recolor.demo import render_landscape

PROJECT = Path(__file__).parents[1]
SHIPPED = {
    "flows/clean_and_train.py",
    "flows/prefect.yaml",
    "recolor/cleaning/measure/natural_colour.npz",
    "recolor/cleaning/measure/natural_colour.onnx",
    "recolor/models/pretrained/MODEL_CARD.md",
    "recolor/models/pretrained/generator/config.json",
    "recolor/models/pretrained/generator/model.safetensors",
    "recolor/models/pretrained/refiner/config.json",
    "recolor/models/pretrained/refiner/model.safetensors",
    "recolor/py.typed",
    *(f"recolor/pages/templates/{path.name}" for path in (PROJECT / "recolor/pages/templates").iterdir()),
    *(f"recolor/app/static/{path.name}" for path in (PROJECT / "recolor/app/static").iterdir()),
}

pytestmark = pytest.mark.slow


def run(*command, folder):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy of the sources, with tests and tools beside them, as setuptools writes into their folder."""
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in ("recolor", "flows", "tests", "tools"):
        shutil.copytree(PROJECT / name, sources / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "prefect.yaml"):
        shutil.copy(PROJECT / name, sources)
    options = ("--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", str(built))
    run(sys.executable, "-m", "pip", "wheel", *options, str(sources), folder=built)
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """The folder of programs of a virtual environment with the wheel, and with this environment's other packages.

    A path in a .pth file is searched, but the .pth files in it are not read: Recolor itself, which is installed here
    by such a file, is not found there.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder), folder=folder)
    python = folder / "bin/python"
    options = ("--no-deps", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel), folder=folder)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip()
    (Path(packages) / "others.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin"


def test_it_holds_the_packages_with_their_templates_tables_and_weights_and_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= SHIPPED
    assert {name.split("/")[0] for name in names} == {"recolor", "flows", f"recolor-{recolor.__version__}.dist-info"}
    sources = {path.relative_to(PROJECT).as_posix() for path in (PROJECT / "recolor").rglob("*.py")}
    assert names >= sources


def test_its_metadata_names_the_licence_and_base_dependencies_without_prefect(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = f"recolor-{recolor.__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    required = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==).*$", metadata, re.MULTILINE)
    assert {"torch", "opencv-python-headless"} <= set(required)
    assert not {"prefect", "fastapi", "griffe", "matplotlib", "imagehash", "scipy", "opencv-python"} & set(required)


def test_installed_it_is_the_wheels_own_package_and_says_its_version(programs, tmp_path):
    assert run(programs / "recolor", "--version", folder=tmp_path).split()[-1] == recolor.__version__
    where = run(programs / "python", "-c", "import recolor; print(recolor.__file__)", folder=tmp_path)
    assert Path(where).is_relative_to(programs.parent)


def test_installed_it_colours_a_photograph_with_the_weights_it_brings(programs, tmp_path):
    Image.fromarray(render_landscape(1, 320, 240)).convert("L").save(tmp_path / "grey.png")
    run(programs / "recolor", "colorize", "--device", "cpu", "grey.png", "coloured.png", folder=tmp_path)
    with Image.open(tmp_path / "coloured.png") as picture:
        assert picture.size == (320, 240)
        red, _, blue = picture.convert("RGB").split()
        assert red.tobytes() != blue.tobytes()


def test_installed_it_cleans_a_folder_and_renders_the_gallery(programs, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(3):
        Image.fromarray(render_landscape(seed, 320, 240)).save(images / f"{seed}.jpg", quality=90)
    run(programs / "recolor", "clean", "--images", "images", "--set", "low_resolution.min_side_px=64", folder=tmp_path)
    run(programs / "recolor", "gallery", folder=tmp_path)
    assert "2.jpg" in (tmp_path / "manifests/gallery.html").read_text()


@pytest.mark.timeout(900)
def test_installed_it_brings_up_prefect_with_all_deployments_in_any_folder(programs, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "up.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREFECT"))}
    command = [programs / "recolor", "up", "--workspace", "space", "--port", str(port)]
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 600
        while "Recolor is up" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        found = httpx.post(f"http://127.0.0.1:{port}/api/deployments/filter", json={}, timeout=60).json()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert {each["name"] for each in found} >= {"clean-and-train", "clean", "evaluate"}
    assert {each["parameters"]["workspace"] for each in found} == {str(tmp_path / "space")}
    assert "PREFECT_PLUGINS_ENABLED=1 prefect deployment run clean-and-train" in log.read_text()
    assert (tmp_path / "space/.recolor/prefect/prefect.db").is_file()
    assert "Traceback" not in log.read_text()
