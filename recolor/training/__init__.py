"""Training of the generator and the refiner: one loop, which resumes bit for bit."""

from recolor.training.generator import GENERATOR, train_generator
from recolor.training.refiner import REFINER, train_refiner

__all__ = ["GENERATOR", "REFINER", "train_generator", "train_refiner"]
