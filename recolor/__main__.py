"""`python -m recolor` is the program `recolor`."""

from recolor.cli.main import main

main()
