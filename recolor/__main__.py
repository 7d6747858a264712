"""`python -m recolor` is the program `recolor`."""

from recolor.cli.main import main

if __name__ == "__main__":
    main()
