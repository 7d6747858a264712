"""Optional packages: the extra that installs each, and the error for a missing one."""

from collections.abc import Mapping
from importlib.util import find_spec

from recolor.errors import ConfigError

EXTRAS: Mapping[str, str] = {
    "av": "video",
    "fastapi": "app",
    "matplotlib": "train",
    "prefect": "flows",
    "skimage": "train",
    "uvicorn": "app",
    "webdataset": "webdataset",
}


def require_packages(purpose: str, *names: str) -> None:
    """Checks that optional packages are installed.

    Args:
        purpose: The feature that needs them; the error message begins with it.
        names: Names of the modules, each a key of `EXTRAS`.

    Raises:
        ConfigError: A package is not installed; names the extra to install.
    """
    for name in names:
        if find_spec(name) is None:
            raise missing_package(purpose, name)


def missing_package(purpose: str, name: str) -> ConfigError:
    """Returns the error for a missing optional package; it names the extra to install."""
    extra = EXTRAS[name]
    return ConfigError(
        f"{purpose}: the package `{name}` is not installed. Run `pip install 'recolor[{extra}]'` (in Recolor's folder"
        f" `pip install -c constraints.txt '.[{extra}]'`)."
    )
