"""Training of the generator and of the refiner: one loop, resumable to the bit."""

from recolor.training.generator import GENERATOR, train_generator
from recolor.training.refiner import REFINER, train_refiner

__all__ = ["GENERATOR", "REFINER", "train_generator", "train_refiner"]
