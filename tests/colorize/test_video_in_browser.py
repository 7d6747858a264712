"""Coloured videos play in a browser, with the colours and times that were written."""

import base64
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from films import Sound, grey_frames, read_film, write_film

from recolor.colorize.video import colorize_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def colorizer(colorizer):
    generator = replace(colorizer.generator, details={**colorizer.generator.details, "image_px": 64})
    return replace(colorizer, generator=generator)


def _play(browser, path, kind, time_s):
    """Shows the frame of a time; returns the size and length that the browser sees, and its pixels."""
    content = base64.b64encode(path.read_bytes()).decode()
    browser.run(f"""
        bytes = Uint8Array.from(atob('{content}'), letter => letter.charCodeAt(0));
        video.src = URL.createObjectURL(new Blob([bytes], {{type: '{kind}'}}));
        shown = false; video.onseeked = () => {{ shown = true; }};
        video.onloadeddata = () => {{ video.currentTime = {time_s}; }};
    """)
    assert browser.wait_for("shown || video.error")
    assert browser.run("video.error && video.error.message") is None
    width, height, length_s = (browser.run(f"video.{name}") for name in ("videoWidth", "videoHeight", "duration"))
    pixels = browser.run(f"""(() => {{
        canvas.width = {width}; canvas.height = {height};
        const context = canvas.getContext('2d');
        context.drawImage(video, 0, 0);
        return JSON.stringify([...context.getImageData(0, 0, {width}, {height}).data]);
    }})()""")
    rgba = np.array(json.loads(pixels), np.uint8).reshape(height, width, 4)
    return (width, height), length_s, rgba[..., :3]


@pytest.mark.parametrize(
    ("suffix", "kind", "pixel_format"),
    [
        (".mp4", "video/mp4", "yuv420p"),
        (".mp4", "video/mp4", "yuv420p10le"),
        (".mov", "video/mp4", "yuv420p"),
        (".mkv", "video/x-matroska", "yuv420p"),
        (".webm", "video/webm", "yuv420p"),
    ],
)
def test_a_browser_shows_the_frames_that_were_written(colorizer, browser, tmp_path, *, suffix, kind, pixel_format):
    source = write_film(
        tmp_path / "film.mkv",
        [*grey_frames(6), np.zeros((48, 64, 3), np.uint8)],
        times_ms=[0, 40, 80, 280, 480, 500, 700],
        pixel_format=pixel_format,
        matrix=1,
        pixel_aspect=Fraction(3, 2),
        sounds=[Sound(length_s=0.8)],
    )
    target = tmp_path / f"out{suffix}"
    colorize_video(source, target, colorizer)
    page = tmp_path / "page.html"
    page.write_text("<video id=video muted></video><canvas id=canvas></canvas>")
    browser.open(page)
    size, length_s, frame = _play(browser, target, kind, 0.4)  # the fourth frame lasts from 0.28 to 0.48 s
    assert size == (96, 48)
    assert length_s == pytest.approx(0.8, abs=0.06)
    written = read_film(target).frames[3]
    written = written[:, np.arange(96) * written.shape[1] // 96]
    assert np.ptp(written, axis=2).mean() > 5
    assert np.abs(written.astype(int) - frame).mean() < 12  # the browser widens the pixels otherwise
    *_, black = _play(browser, target, kind, 0.75)
    assert black.max() <= 6
