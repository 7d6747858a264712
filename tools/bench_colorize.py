"""Where the time of `recolor colorize` goes: `python tools/bench_colorize.py [--models FOLDER]`.

Three tables. The first: from starting Python to the first coloured photograph, in a fresh process each time. The
second: one photograph after the other once the models are loaded, with the parts beside the whole; the parts are timed
one by one, so that their sum leaves out what they do at the same time. The third: one frame of a video. Wall and
processor seconds, the fastest of all rounds: beside other work, only the processor's say what a quiet machine takes.
"""

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from films import grey_frames, write_film
from PIL import Image
from skimage import data

from recolor.color.gamut import join, lightness_of
from recolor.colorize import Colorizer
from recolor.colorize.upsample import upsample
from recolor.colorize.video import colorize_video
from recolor.config.settings import MeasureConfig
from recolor.images import decode

VIDEO_PX, VIDEO_FRAMES = 512, 50
START = """
import json, sys, time
marks = [("python", time.perf_counter(), time.process_time())]
def mark(name):
    marks.append((name, time.perf_counter(), time.process_time()))
from pathlib import Path
from recolor.colorize import Colorizer
from PIL import Image
mark("import")
models = sys.argv[2]
colorizer = Colorizer.from_folder(Path(models), "cpu") if models else Colorizer.from_pretrained("cpu")
mark("load")
with Image.open(sys.argv[1]) as picture:
    colorizer(picture)
mark("first photograph")
parts = {name: (wall - marks[i][1], cpu - marks[i][2]) for i, (name, wall, cpu) in enumerate(marks[1:])}
print(json.dumps({"python": (0.0, marks[0][2]), **parts}))
"""


def main() -> None:
    """Makes one photograph, and prints both tables."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--models", type=Path, help="folder of generator/ and refiner/; else those of the package")
    words.add_argument("--photograph", type=Path, help="JPEG; else one of scikit-image, at --side pixels")
    words.add_argument("--side", type=int, default=1024)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--out", type=Path, default=Path("data/benchmarks/colorize"))
    given = words.parse_args()
    for path in filter(None, (given.models, given.photograph)):
        if not path.exists():
            words.error(f"{path}: there is no such file or folder")
    given.out.mkdir(parents=True, exist_ok=True)
    photograph = given.photograph or grey_photograph(given.out / "grey.jpg", given.side)
    started = [start(photograph, given.models) for _ in range(given.rounds)]
    best = {part: tuple(min(run[part][clock] for run in started) for clock in (0, 1)) for part in started[0]}
    show(f"a fresh process, best of {given.rounds}", best)
    show(f"{photograph.name}, models loaded, best of {given.rounds}", parts(photograph, given.models, given.rounds))
    show(f"a frame of a video of {VIDEO_PX} px, models loaded", {"whole": frame(given.out, given.models)})


def grey_photograph(path: Path, side_px: int) -> Path:
    """A greyscale JPEG, made of a photograph of scikit-image."""
    grey = cv2.cvtColor(data.coffee()[:, :400], cv2.COLOR_RGB2GRAY)
    Image.fromarray(cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_CUBIC)).save(path, quality=92)
    return path


def start(photograph: Path, models: Path | None) -> dict[str, tuple[float, float]]:
    """Wall and processor seconds of each part of a fresh process, and of the whole as seen from outside."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", START, str(photograph), str(models or "")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    took_s = time.perf_counter() - begun
    seen = json.loads(done.stdout)
    python_s = took_s - sum(wall for wall, _ in seen.values())
    return {**seen, "python": (python_s, seen["python"][1]), "whole": (took_s, sum(cpu for _, cpu in seen.values()))}


def parts(photograph: Path, models: Path | None, rounds: int) -> dict[str, tuple[float, float]]:
    """Seconds of each part of colouring a JPEG to a JPEG, once the models are loaded."""
    colorizer = Colorizer.from_folder(models, "cpu") if models else Colorizer.from_pretrained("cpu")
    encoded = photograph.read_bytes()

    def read() -> np.ndarray:
        return decode(encoded, MeasureConfig()).rgb

    def write(rgb: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=95, subsampling=0)
        return buffer.getvalue()

    rgb = read()
    L = lightness_of(rgb)
    L_small = colorizer.at_model_size(L)
    ab_small = colorizer.predict_ab(L_small[None])[0]
    ab = colorizer.predict_colour(L)
    coloured = join(L, ab)
    works: dict[str, Callable[[], object]] = {
        "decode": read,
        "L": lambda: lightness_of(rgb),
        "L at the models' size": lambda: colorizer.at_model_size(L),
        "networks": lambda: colorizer.predict_ab(L_small[None]),
        "upsample": lambda: upsample(ab_small, L_small, L),
        "join": lambda: join(L, ab),
        "encode": lambda: write(coloured),
        "whole": lambda: write(colorizer.colorize_rgb(read())),
    }
    return {name: seconds(work, rounds) for name, work in works.items()}


def frame(folder: Path, models: Path | None) -> tuple[float, float]:
    """Wall and processor seconds for each frame of a video of two seconds."""
    colorizer = Colorizer.from_folder(models, "cpu") if models else Colorizer.from_pretrained("cpu")
    source = write_film(folder / "film.mp4", grey_frames(VIDEO_FRAMES, VIDEO_PX, VIDEO_PX, noise=2))
    wall, cpu = seconds(lambda: colorize_video(source, folder / "coloured.mp4", colorizer, overwrite=True), 1)
    return wall / VIDEO_FRAMES, cpu / VIDEO_FRAMES


def seconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Wall and processor seconds of the fastest of so many rounds, after one that does not count."""
    work()
    took = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        took.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(wall for wall, _ in took), min(cpu for _, cpu in took)


def show(title: str, rows: dict[str, tuple[float, ...]]) -> None:
    """Prints a table."""
    print(title)
    for name, (wall, cpu) in rows.items():
        print(f"  {name:<22} {wall:7.3f} s   processor {cpu:7.3f} s")


if __name__ == "__main__":
    main()
