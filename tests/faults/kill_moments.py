"""Kills every stage with SIGKILL at random moments of its work, runs it again, and says what came of it: `make faults`.

Each moment is a process of its own, killed at a time drawn evenly from the time that the stage takes undisturbed. After
the second run the workspace must hold the bytes of an undisturbed one, nothing that had been finished may have been
done again, and no file may be left that does not belong there. Every other moment measures and shards in worker
processes. Some stages are run as Prefect flows too, against a real server on loopback.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as in the tests, and before torch is loaded

import click
from runs import TINY
from services import Site
from tqdm import tqdm
from traces import finished, redone, results, temporary_files

import recolor.evaluation
import recolor.training  # noqa: F401 - what the stages would import
from recolor.cleaning.measure import plan as measure_stage
from recolor.cli import main as cli
from recolor.config.loading import load_config
from recolor.demo import make_demo_images
from recolor.shards import writer as shards

SETTINGS = {**TINY, "evaluate.pictures": 2, "evaluate.device": "cpu"}
STAGES = ("index", "measure", "detect", "select", "shard", "train generator", "train refiner", "evaluate")
FLOWS = ("clean", "shard", "train-generator", "evaluate")
NEVER = 10**9  # images from which on there are worker processes


@dataclass(frozen=True)
class Scene:
    """A stage or flow: what does it, the workspace before it, and as it must be after it."""

    name: str
    work: Callable[[Path], None]
    before: Path
    after: Path

    def start(self, root, log, processes_from=NEVER):
        """Forks a process that does it; this one has imported everything, so that only the work is killed."""
        if pid := os.fork():
            return pid
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        measure_stage.PROCESSES_FROM_IMAGES = shards.PROCESSES_FROM_IMAGES = processes_from
        code = 1
        try:
            self.work(root)
            code = 0
        except SystemExit as ended:
            code = ended.code
        except BaseException:  # noqa: BLE001 - whatever it is, a forked process must not go on from here
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def ended(pid):
    """Waits; 0 if the process ended well, the negative signal if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def by_command(stage, images):
    """The stage as its command does it."""
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]

    verb = "shards build" if stage == "shard" else stage

    def work(root):
        sys.argv = ["recolor", "-v", *verb.split(), "--images", str(images), "--workspace", str(root), *sets]
        cli.main()

    return work


def by_flow(name, images):
    """The stage as its Prefect flow does it."""
    from flows import clean, evaluate, shard, train  # noqa: PLC0415 - Prefect looks for its server as it is loaded
    from flows.parameters import settings_of  # noqa: PLC0415

    flows = (clean.clean, shard.shard, train.train_generator, evaluate.evaluate)
    flow = dict(zip(FLOWS, flows, strict=True))[name]
    words = [f"{key}={value}" for key, value in SETTINGS.items()]

    def work(root):
        flow(images, root, None, settings_of(load_config(None, None, words)))

    return work


@dataclass
class Row:
    """What came of the kills of one stage."""

    name: str
    kills: int = 0
    while_running: int = 0
    same_bytes: int = 0
    redone: int = 0
    stray: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def good(self):
        return self.same_bytes == self.kills and not (self.redone or self.stray or self.failed)

    def line(self):
        cells = (self.name, self.kills, self.while_running, self.same_bytes, self.redone, len(self.stray))
        return f"| {' | '.join(map(str, cells))} |"


def newest_step(root):
    return max((int(path.name.split("-")[1]) for path in root.rglob("step-*.pt")), default=0)


def went_on_from(said):
    """The step that a training said it went on from; 0 if it began anew."""
    lines = [line for line in said.splitlines() if "resuming from" in line]
    return int(lines[-1].rpartition("/")[2].split("-")[1]) if lines else 0


def stray_files(root, expected):
    """What no undisturbed run leaves.

    How images are grouped in measured parts, and the date in the name of a kept run, are free: these are passed over.
    """
    known = {path.relative_to(expected) for path in expected.rglob("*")}
    new = [path.relative_to(root) for path in root.rglob("*") if path.relative_to(root) not in known]
    free = (("manifests", "parts"), ("data", "models", "runs"))
    return [str(path) for path in new if not any(path.parts[: len(at)] == at for at in free)] + temporary_files(root)


def duration_s(scene, room):
    """How long it works undisturbed; makes sure that it ends as it must."""
    root = Path(shutil.copytree(scene.before, room / "undisturbed"))
    begun = time.monotonic()
    run_to_its_end(scene, root, room / "log")
    took_s = time.monotonic() - begun
    assert results(root) == results(scene.after), f"{scene.name}: two undisturbed runs differ"
    return took_s


def run_to_its_end(scene, root, log):
    assert ended(scene.start(root, log)) == 0, log.read_text()


def one_moment(scene, root, row, delay_s, processes_from):
    """Kills the work after `delay_s`, runs it again, and notes what came of it."""
    log = root.with_suffix(".log")
    pid = scene.start(root, log, processes_from)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    row.kills += 1
    row.while_running += ended(pid) == -signal.SIGKILL
    done, step = finished(root), newest_step(root)
    if ended(scene.start(root, log, processes_from)) != 0:
        row.failed.append(log.read_text())
        return
    row.redone += len(redone(done, root))
    row.redone += scene.name.startswith("train") and went_on_from(log.read_text()) < step
    row.same_bytes += results(root) == results(scene.after)
    row.stray += stray_files(root, scene.after)


def killed_at_random(scene, moments, chance, room, bar):
    row = Row(scene.name)
    took_s = duration_s(scene, room)
    for moment in range(moments):
        root = Path(shutil.copytree(scene.before, room / str(moment)))
        one_moment(scene, root, row, chance.uniform(0, took_s), 1 if moment % 2 else NEVER)
        shutil.rmtree(root)
        bar.update()
    return row


def stages(images, room):
    """Each stage, its workspace before and after made by an undisturbed run."""
    now = room / "now"
    now.mkdir()
    before = Path(shutil.copytree(now, room / "nothing"))
    for stage in STAGES:
        after = room / f"after {stage}"
        scene = Scene(stage, by_command(stage, images), before, after)
        run_to_its_end(scene, now, room / "log")
        before = Path(shutil.copytree(now, after))
        yield scene


def flows(images, found):
    """The flows, on the workspaces of the stages that they consist of."""
    by_name = {scene.name: scene for scene in found}
    for name in FLOWS:
        first, last = ("index", "select") if name == "clean" else [name.replace("-", " ")] * 2
        yield Scene(f"flow {name}", by_flow(name, images), by_name[first].before, by_name[last].after)


@contextmanager
def prefect_server(home):
    """A server on loopback; what imports Prefect from here on finds it."""
    site = Site(home)
    try:
        site.start("server", "start", "--port", site.port)
        site.wait_until("health")
        os.environ.update({name: value for name, value in site.env.items() if name.startswith("PREFECT_")})
        yield
    finally:
        site.stop()


@click.command()
@click.option("--moments", default=12, help="Kills of each stage.")
@click.option("--flow-moments", default=4, help="Kills of each flow.")
@click.option("--seed", default=6)
def main(moments, flow_moments, seed):
    """Prints a row for each stage; exits with 1 if anything is not as it must be."""
    tqdm.monitor_interval = 0  # no thread where processes are forked
    rows = []
    with tempfile.TemporaryDirectory() as folder, tqdm(total=moments * 8 + flow_moments * 4, unit=" kills") as bar:
        room = Path(folder)
        images = room / "images"
        make_demo_images(images, landscapes=24, each=1, photographs=False)

        def kill(scene, count):
            (place := room / f"kills of {scene.name}").mkdir()
            rows.append(killed_at_random(scene, count, random.Random(f"{seed} {scene.name}"), place, bar))
            bar.write(rows[-1].line())
            shutil.rmtree(place)

        found = list(stages(images, room))
        for scene in found:
            kill(scene, moments)
        if flow_moments:
            (home := room / "prefect").mkdir()
            with prefect_server(home):
                for scene in flows(images, found):
                    kill(scene, flow_moments)
    report(rows)


def report(rows):
    click.echo("| stage | kills | killed while running | same bytes | redone parts | stray files |")
    click.echo("|---|---|---|---|---|---|")
    for row in rows:
        click.echo(row.line())
    totals = [sum(getattr(row, name) for row in rows) for name in ("kills", "while_running", "same_bytes", "redone")]
    click.echo(f"| all | {' | '.join(map(str, totals))} | {sum(len(row.stray) for row in rows)} |")
    for row in rows:
        for what in (*row.stray, *row.failed):
            click.echo(f"{row.name}: {what}", err=True)
    sys.exit(0 if all(row.good for row in rows) else 1)


if __name__ == "__main__":
    main()
