"""Training of the generator and of the refiner: one loop, resumable to the bit."""

from recolor.train.generator import train_generator
from recolor.train.refiner import train_refiner

__all__ = ["train_generator", "train_refiner"]
