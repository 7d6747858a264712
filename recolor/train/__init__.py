"""Training of the generator and of the refiner: one loop, resumable to the bit."""

from recolor.train.generator import GENERATOR, train_generator
from recolor.train.refiner import REFINER, train_refiner

__all__ = ["GENERATOR", "REFINER", "train_generator", "train_refiner"]
