"""Writes docs/cli.md from the verbs and options of the command line: `python tools/write_reference.py`."""

from pathlib import Path

from recolor.cli.main import cli
from recolor.cli.reference import cli_reference_markdown

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    (DOCS / "cli.md").write_text(cli_reference_markdown(cli), encoding="utf-8")
