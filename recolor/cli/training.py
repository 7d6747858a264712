"""The verbs that train the two networks and measure the speed of training."""

import os
from pathlib import Path
from typing import Any

import click

from recolor.cli.groups import VerbGroup
from recolor.cli.last_settings import say_reverted
from recolor.cli.options import Target, UserPath, option, read_settings, run_options, stage_options
from recolor.cli.running import run_stages
from recolor.pipeline.storage import write_output
from recolor.pipeline.workspace import Workspace

name_option = option(
    "--name",
    default="",
    help="Name of the run. Refused if there is one.",
    show_default="the date and the training's key",
)


@click.group(cls=VerbGroup)
def train() -> None:
    """Train the generator or the refiner.

    An interrupted training resumes from its last checkpoint.
    """


@train.command()
@run_options
@name_option
def generator(target: Target, name: str) -> None:
    """Train the generator, which predicts coarse ab from L.

    The training is kept as data/models/runs/NAME/, and becomes the current model.
    """
    run_stages(["train-generator"], target, run_name=name)


@train.command()
@run_options
@name_option
def refiner(target: Target, name: str) -> None:
    """Train the refiner, which predicts full ab from L and coarse ab.

    The training is kept as data/models/runs/NAME/, and becomes the current model.
    """
    run_stages(["train-refiner"], target, run_name=name)


@click.group(cls=VerbGroup)
def bench() -> None:
    """Measure the speed of training on this machine."""


@bench.command("train")
@stage_options
@option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Train on this device.")
@option(
    "--model",
    "models",
    type=click.Choice(["generator", "refiner"]),
    multiple=True,
    help="Measure this network. May be repeated.",
    show_default="both",
)
@option(
    "--mode",
    "modes",
    type=click.Choice(["eager", "compiled"]),
    multiple=True,
    help="Run the network in this way. May be repeated.",
    show_default="eager; on CUDA both",
)
@option(
    "--batch",
    "batch_images",
    type=click.IntRange(min=1),
    help="Take this number of images in a step.",
    show_default="the setting; on a CPU at most 8",
)
@option(
    "--warmup-steps",
    type=click.IntRange(min=0),
    help="Take this number of steps before the measurement.",
    show_default="2; on CUDA 10",
)
@option("--steps", type=click.IntRange(min=1), help="Measure this number of steps.", show_default="5; on CUDA 50")
@option("--trace", is_flag=True, help="Also list the operations that take the most time.")
@option("--out", metavar="FILE", type=UserPath(dir_okay=False), help="Write the figures into this JSON file.")
def bench_train(target: Target, out: Path | None, **options: Any) -> None:
    """Compare training speed with the limits of the device.

    Prints images a second, the share of a step that waits for data, operations and memory traffic a second, and their
    shares of the device's matrix rate and copy bandwidth. Reads the workspace's shards if it has any, else random
    ones. The trained weights are discarded.

    `data` is the time a step takes to prepare its batch. `waiting` is that time without the conversion on the device.
    GB/s counts the bytes that each operation would move by itself, so compiled steps can exceed the copy bandwidth.
    """
    config = read_settings(target)
    say_reverted(target, ("generator", "refiner"))
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences torch's profiler, which logs its own starts and stops
    from recolor.bench import Options, bench_training, report_json, report_text

    report = bench_training(Workspace(target.workspace.absolute()), config, Options(**options))
    if out is not None:
        write_output(out, report_json(report))
    click.echo(report_text(report))
