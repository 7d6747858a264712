"""The program `recolor` and the sections in which its help lists the verbs.

Verbs import heavy packages only when they run, so that `--help` is fast.
"""

import codecs
import sys
from io import TextIOWrapper

import click

from recolor import __version__
from recolor.cli import app, cleaning, colorize, evaluation, export, flows, runs, settings, shards, status, training
from recolor.cli.groups import VerbGroup
from recolor.cli.output import log_level, verbosity_options
from recolor.cli.reference import walk
from recolor.cli.running import run_reporting_errors
from recolor.manifests.names import ESCAPE_BYTES
from recolor.pipeline.progress import log_to_stderr


@click.group(
    cls=VerbGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True},
)
@click.version_option(__version__, prog_name="recolor")
def cli() -> None:
    """From a folder of photographs to a model that colours greyscale landscapes.

    Every stage is cached and resumable: run the same command again and only what is missing is done.
    """
    log_to_stderr(log_level())


@click.command()
def schemas() -> None:
    """Print the columns of every manifest as Markdown."""
    from recolor.manifests.io import schema_markdown

    click.echo(schema_markdown(), nl=False)


cli.add_section(
    "Pipeline",
    flows.run,
    cleaning.clean,
    cleaning.index,
    cleaning.measure,
    cleaning.detect,
    cleaning.select,
    shards.shards,
    training.train,
    evaluation.evaluate,
)
cli.add_section("Review", status.status, app.app, cleaning.gallery, evaluation.turing)
cli.add_section("Models", runs.runs, colorize.colorize, export.export, training.bench)
cli.add_section("Other", settings.settings, flows.demo, flows.up, schemas)
for _context in walk(cli):
    _context.command.params += verbosity_options()


def _is_ascii(stream: TextIOWrapper) -> bool:
    return codecs.lookup(stream.encoding).name == "ascii"


def main() -> None:
    """The console script `recolor`.

    File names can hold bytes that are not text; they are printed as escapes. With an ASCII locale, output is UTF-8.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8" if _is_ascii(stream) else None, errors=ESCAPE_BYTES)
    run_reporting_errors(cli)


if __name__ == "__main__":
    main()
