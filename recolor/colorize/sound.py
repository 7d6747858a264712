"""The sound of a video, which OpenCV does not know: copied over by the program `ffmpeg`, where there is one."""

import logging
import re
import shutil
import subprocess
from pathlib import Path
from typing import Literal

Sound = Literal["kept", "dropped", "none", "unknown"]

_OF_SOURCE = re.compile(r"^\s*Stream #1:\d+.*: Audio: ", re.MULTILINE)  # the source is ffmpeg's input number 1

_log = logging.getLogger(__name__)


def add_sound(video: Path, source: Path, out: Path) -> Sound:
    """Writes the video with the sound of the source, both as they are; its pictures are never lost by that.

    Args:
        video: Without sound.
        source: All of its audio streams are taken.
        out: The file with both; it is there and whole only if the answer is `kept`.

    Returns:
        `kept`; `none`: the source has no sound; `dropped`: it has, and it could not be copied, for instance as the
        container does not take it; `unknown`: there is no `ffmpeg` on the PATH to tell.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return "unknown"
    inputs = ["-i", f"file:{video.absolute()}", "-i", f"file:{source.absolute()}"]
    streams = ["-map", "0:v", "-map", "1:a?", "-c", "copy", f"file:{out.absolute()}"]
    command = [ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "info", "-y", *inputs, *streams]
    try:
        ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603  (no shell, files named in full)
    except OSError as error:
        _log.warning("%s: cannot be started, so the sound is not copied: %s", ffmpeg, error)
        return "dropped"
    said = ended.stderr.decode(errors="replace")
    if not _OF_SOURCE.search(said) and ended.returncode == 0:
        return "none"
    if ended.returncode != 0 or not out.is_file():
        _log.warning("%s: its sound was not copied, ffmpeg said: %s", source, said.strip().rpartition("\n")[2])
        return "dropped"
    return "kept"
