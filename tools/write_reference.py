"""Writes docs/cli.md and docs/settings.md from the code that they describe: `python tools/write_reference.py`."""

from pathlib import Path

from recolor.cli.main import cli
from recolor.cli.reference import cli_reference_markdown
from recolor.config.reference import settings_markdown

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    (DOCS / "cli.md").write_text(cli_reference_markdown(cli), encoding="utf-8")
    (DOCS / "settings.md").write_text(settings_markdown(), encoding="utf-8")
