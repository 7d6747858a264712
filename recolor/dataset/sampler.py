"""Which rows make a step's batch, and which of them are a process's.

All that is random in feeding comes from Philox, a counter-based generator (Salmon et al. 2011), keyed by the seed, what
the numbers are for, and the epoch or step. A step fixes its place in the epochs, so that order and augmentation, pure
functions of (seed, step), are pure functions of (seed, epoch, step) too: a training that resumes at step k sees what it
would have seen, and neither threads nor processes have a say.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from recolor.errors import ConfigError, InputError

Int64Array = npt.NDArray[np.int64]

ORDER, AUGMENTATION, CUT = 0, 1, 2  # what random numbers are for: part of their key


@dataclass(frozen=True, slots=True)
class Share:
    """A process's part of each batch: of `of` processes, the one of this `rank` takes every `of`-th image.

    All shares together are exactly the batch of one process, whatever `of` is.

    Attributes:
        rank: 0..`of` - 1.
        of: How many processes share each batch.

    Raises:
        ConfigError: There is no such rank.
    """

    rank: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        """Refuse a rank that no process has."""
        if not 0 <= self.rank < self.of:
            raise ConfigError(f"Share({self.rank}, {self.of}): not allowed. Allowed: ranks 0 to {self.of - 1}.")

    def positions(self, batch_images: int) -> Int64Array:
        """The places of the share's images in the batch of all processes.

        Args:
            batch_images: Images of the batch of all processes.

        Returns:
            int64 [batch_images / of]: rank, rank + of, rank + 2 of, ...

        Raises:
            ConfigError: The shares would not be equal.
        """
        if batch_images % self.of:
            raise ConfigError(
                f"batch_images = {batch_images}: {self.of} processes take as many images each. Allowed: multiples of"
                f" {self.of}."
            )
        return np.arange(self.rank, batch_images, self.of)


WHOLE = Share()


def batch_rows(count: int, batch_images: int, seed: int, step: int, share: Share = WHOLE) -> Int64Array:
    """The rows of a step's batch, or of a process's share of it: a pure function of its arguments.

    Batches follow each other through endless permutations of all rows, one an epoch; a batch may end one epoch and
    begin the next, or hold several where `count` is less than `batch_images`.

    Args:
        count: Rows in all.
        batch_images: Rows a batch, of all processes together.
        seed: The order's seed.
        step: From 0.
        share: Which of the batch's rows.

    Returns:
        int64 [batch_images / share.of], 0..count - 1, in the order of `share.positions`.

    Raises:
        InputError: `count` is 0.
        ConfigError: The shares would not be equal.
    """
    if count < 1:
        raise InputError("There is no image to make a batch of.")
    epochs, places = np.divmod(step * batch_images + share.positions(batch_images), count)
    parts = [_permutation(count, seed, int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
    return np.concatenate(parts)


def random_numbers(seed: int, purpose: int, number: int) -> np.random.Generator:
    """A generator of its own for each (seed, purpose, epoch or step); seeds count modulo 2^64, so -1 is one too."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((seed % 2**64, purpose, number))))


@lru_cache(maxsize=8)  # a step needs its own epoch's, and at an epoch's end the next one's
def _permutation(count: int, seed: int, epoch: int) -> Int64Array:
    order = random_numbers(seed, ORDER, epoch).permutation(count)
    order.setflags(write=False)
    return order
