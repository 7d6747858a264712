import json
import os
import signal
import subprocess
import sys

import pytest

from recolor.pipeline.torchrun import ENDED_FILE, PARENT

pytestmark = pytest.mark.slow  # groups of processes, each of which loads torch

MODULE = """
import os, sys, time
if os.environ["RANK"] == "1":
    os._exit(int(sys.argv[1][-1]))
time.sleep(float(sys.argv[1][-1]) * 100)
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_process_that_fails_ends_the_others_and_its_exit_code_is_kept(tmp_path, code):
    (tmp_path / "some_module.py").write_text(MODULE)
    folder = tmp_path / f"exits with {code}"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "recolor.pipeline.torchrun", "some_module", "2", str(folder)],
        env={**os.environ, PARENT: str(os.getpid()), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (int(code > 0), "", "")
    ended = folder / ENDED_FILE
    expected = {"0": -signal.SIGTERM, "1": code} if code else {}
    assert (json.loads(ended.read_text()) if ended.exists() else {}) == expected


def test_it_does_not_begin_without_its_parent(tmp_path):
    command = [sys.executable, "-m", "recolor.pipeline.torchrun", "a_module_that_is_not_there", "1", str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, PARENT: "1"}, capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
