"""Ctrl-C once finishes what is under way; twice ends at once; neither costs what was finished."""

import os
import signal
import subprocess
import sys
import time

import pytest
from runs import command
from traces import finished, redone, results, temporary_files

pytestmark = pytest.mark.slow

# Python runs a module of this name as it starts: decoding takes so long that a part is under way for seconds.
SITE = """
import time
import simplejpeg

decode = simplejpeg.decode_jpeg
def decode_slowly(*arguments, **named):
    time.sleep(0.5)
    return decode(*arguments, **named)
simplejpeg.decode_jpeg = decode_slowly
"""


@pytest.fixture
def slow_measure(before, images, tmp_path):
    """The command `measure`, with a part finished and others under way, and its workspace."""
    (tmp_path / "sitecustomize.py").write_text(SITE)
    workspace = before("measure")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    # A shell starts background programs with SIGINT ignored, tests among them.
    words = ["-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"]
    words[1] += "from recolor.cli.main import main\nmain()"
    program = [sys.executable, *words, *command("measure", images, workspace.root)[3:]]
    with subprocess.Popen(program, env=env, stderr=subprocess.PIPE, text=True) as process:
        while not any(workspace.measured_parts.glob("*.record.json")):
            assert process.poll() is None
            time.sleep(0.01)
        yield process, workspace
        process.kill()


def interrupt(process):
    """Ctrl-C; returns what the program answers."""
    process.send_signal(signal.SIGINT)
    while (line := process.stderr.readline()).strip() == "":
        assert line, "it said nothing"
    return line


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_keeps_what_was_finished_and_says_so(slow_measure, run, undisturbed, times):
    process, workspace = slow_measure
    assert "stopping after the work in progress; press Ctrl-C again to stop at once" in interrupt(process)
    if times == 2:
        at_once = finished(workspace.root)
        assert "stopped. Finished work is kept; run the same command again to continue." in interrupt(process)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert "Traceback" not in rest
    done = finished(workspace.root)
    if times == 1:
        assert "stopped. Finished work is kept" in rest
        assert temporary_files(workspace.root) == []
    else:
        assert done == at_once  # nothing was waited for
    assert run(["measure"], workspace)["measure"].built
    assert redone(done, workspace.root) == []
    assert results(workspace.root) == results(undisturbed("measure"))
    assert temporary_files(workspace.root) == []
