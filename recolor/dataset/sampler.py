"""Sampler: the rows of each step's batch, and each process's share of them.

All random numbers come from Philox, a counter-based generator (Salmon et al. 2011), keyed by the seed, the purpose of
the numbers, and the epoch or step. Order and augmentation are therefore pure functions of (seed, step): a training that
resumes at step k sees the same images as one that was never interrupted, with any number of threads and processes.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from recolor.errors import ConfigError, InputError

Int64Array = npt.NDArray[np.int64]

ORDER, AUGMENTATION, CUT = 0, 1, 2  # purposes of random numbers: part of their key


@dataclass(frozen=True, slots=True)
class Share:
    """The share of a process in each batch: every `world_size`-th image, starting at its rank.

    The shares of all processes together are exactly the batch of a single process.

    Attributes:
        rank: Rank of the process, 0..`world_size` - 1.
        world_size: Number of processes that share each batch.

    Raises:
        ConfigError: There is no such rank.
    """

    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        """Checks the rank."""
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(
                f"Share({self.rank}, {self.world_size}): not allowed. Allowed: ranks 0 to {self.world_size - 1}."
            )

    def positions(self, batch_images: int) -> Int64Array:
        """Returns the positions of the share's images in the batch of all processes.

        Args:
            batch_images: Number of images in the batch of all processes.

        Returns:
            int64 [batch_images / world_size]: rank, rank + world_size, rank + 2 world_size, ...

        Raises:
            ConfigError: The shares would not be equal.
        """
        if batch_images % self.world_size:
            raise ConfigError(
                f"batch_images = {batch_images}: cannot be shared equally among {self.world_size} processes. Allowed:"
                f" multiples of {self.world_size}."
            )
        return np.arange(self.rank, batch_images, self.world_size)


WHOLE = Share()


def batch_rows(count: int, batch_images: int, seed: int, step: int, share: Share = WHOLE) -> Int64Array:
    """Returns the rows of a step's batch, or of a process's share of it; a pure function.

    Each epoch is a permutation of all rows, and batches are consecutive parts of the sequence of epochs. A batch may
    contain the end of one epoch and the start of the next, or several epochs if `count` is less than `batch_images`.

    Args:
        count: Number of rows.
        batch_images: Number of rows in the batch of all processes.
        seed: Seed of the order.
        step: Number of the step, from 0.
        share: Share of this process.

    Returns:
        int64 [batch_images / world_size], 0..count - 1, in the order of `share.positions`.

    Raises:
        InputError: `count` is 0.
        ConfigError: The shares would not be equal.
    """
    if count < 1:
        raise InputError("The dataset has no images, so there are no batches.")
    epochs, places = np.divmod(step * batch_images + share.positions(batch_images), count)
    parts = [_permutation(count, seed, int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
    return np.concatenate(parts)


def random_numbers(seed: int, purpose: int, number: int) -> np.random.Generator:
    """Returns the random generator of a (seed, purpose, epoch or step).

    Seeds are taken modulo 2^64, so -1 is valid.
    """
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed % 2**64, purpose, number))))


@lru_cache(maxsize=8)  # a step needs one epoch's permutation, or two at an epoch's end
def _permutation(count: int, seed: int, epoch: int) -> Int64Array:
    order = random_numbers(seed, ORDER, epoch).permutation(count)
    order.setflags(write=False)
    return order
