"""Recolor: from a folder of photographs to a model that colours greyscale landscapes."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from recolor.manifests.pandas import read_manifest as read_manifest

__all__ = ["__version__", "read_manifest"]


def __getattr__(name: str) -> Any:
    """Loads `read_manifest` when it is asked for: `import recolor` alone stays light."""
    if name == "read_manifest":
        from recolor.manifests.pandas import read_manifest

        return read_manifest
    raise AttributeError(f"module 'recolor' has no attribute {name!r}")
