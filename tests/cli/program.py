"""The program `recolor` in the process of the tests, which has loaded torch already: starting it anew takes seconds."""

import io
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from recolor.cli.main import main


@dataclass(frozen=True)
class Ended:
    """What a program that has ended wrote, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def recolor(*arguments):
    """Runs the program in this process, and returns its exit code and what it wrote."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    handler = signal.getsignal(signal.SIGINT)
    with patch.object(sys, "argv", ["recolor", *map(str, arguments)]), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        finally:
            signal.signal(signal.SIGINT, handler)
    return Ended(code, out.getvalue(), err.getvalue())
