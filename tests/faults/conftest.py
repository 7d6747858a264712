"""What the faults strike: a small folder of images, settings that take each stage through in a moment, workspaces."""

import shutil
import subprocess
from pathlib import Path

import pytest
from runs import TINY

from recolor.config.loading import load_config
from recolor.pipeline.workspace import Workspace, locked, open_workspace
from recolor.stages import STAGES, run_each


@pytest.fixture(scope="session")
def settings():
    """`settings("execution.workers=1", ...)`: those of all tests here, but for these."""
    words = [f"{key}={value}" for key, value in {**TINY, "evaluate.pictures": 2, "evaluate.device": "cpu"}.items()]
    return lambda *others: load_config(None, None, [*words, *others])


@pytest.fixture(scope="session")
def images(demo_images):
    return demo_images


@pytest.fixture(scope="session")
def run(settings, images):
    """`run(stages, workspace, *words)`: what each did, by name; holds the workspace as the command does."""

    def run_named(stages, workspace, *words, photographs=images):
        with locked(workspace):
            return dict(zip(stages, run_each(stages, workspace, photographs, settings(*words)), strict=True))

    return run_named


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, run):
    """`undisturbed(stage)`: a folder with what there is after that stage, `None` for before the first."""
    room = tmp_path_factory.mktemp("undisturbed")
    now, made = open_workspace(room / "now"), {}

    def after(stage):
        for name in STAGES if stage else ():
            if name not in made:
                run([name], now)
                made[name] = Path(shutil.copytree(now.root, room / name))
            if name == stage:
                return made[name]
        return open_workspace(room / "nothing").root

    return after


@pytest.fixture
def before(undisturbed, tmp_path):
    """`before(stage)`: a workspace in which that stage is the next, for a test to spoil."""

    def copied(stage, root=None):
        names = [None, *STAGES]
        folder = undisturbed(names[names.index(stage) - 1])
        return Workspace(Path(shutil.copytree(folder, root or tmp_path / "workspace", dirs_exist_ok=True)))

    return copied


@pytest.fixture
def disk(tmp_path):
    """A file system of 32 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)
