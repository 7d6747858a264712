"""Optional packages: which extra of Recolor installs each, and the error when one is missing."""

from collections.abc import Mapping
from importlib.util import find_spec

from recolor.errors import ConfigError

EXTRAS: Mapping[str, str] = {
    "fastapi": "flows",
    "matplotlib": "train",
    "prefect": "flows",
    "skimage": "train",
}


def require_packages(purpose: str, *names: str) -> None:
    """Makes sure that optional packages are installed.

    Args:
        purpose: What needs them, as the message begins.
        names: Modules as they are imported, each one of `EXTRAS`.

    Raises:
        ConfigError: One is not installed. Names the extra to install.
    """
    for name in names:
        if find_spec(name) is None:
            raise missing_package(purpose, name)


def missing_package(purpose: str, name: str) -> ConfigError:
    """Returns the error for an optional package that is not installed; it names the extra to install."""
    extra = EXTRAS[name]
    return ConfigError(
        f"{purpose}: the package `{name}` is not installed. Run `pip install 'recolor[{extra}]'` (in Recolor's folder"
        f" `pip install -c constraints.txt '.[{extra}]'`)."
    )
