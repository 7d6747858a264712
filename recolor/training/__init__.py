"""Training of the generator and the refiner: one loop, which resumes bit for bit.

The names of `__all__` are loaded when they are first used: `recolor.training.parts` needs no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recolor.training.generator import GENERATOR as GENERATOR
    from recolor.training.generator import train_generator as train_generator
    from recolor.training.refiner import REFINER as REFINER
    from recolor.training.refiner import train_refiner as train_refiner

__all__ = ["GENERATOR", "REFINER", "train_generator", "train_refiner"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Returns a name of `__all__`, and loads its module."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{'generator' if 'generator' in name.lower() else 'refiner'}"), name)
