"""The models, loaded in the background: the page opens meanwhile."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from recolor.config.settings import ColorizeDevice
from recolor.errors import RecolorError

if TYPE_CHECKING:  # loads torch
    from recolor.colorize.colorizer import Colorizer

State = Literal["loading", "ready", "failed"]


class BackgroundModels:
    """Models that a thread loads.

    Args:
        load: Loads them.
    """

    def __init__(self, load: Callable[[], "Colorizer"]) -> None:
        self._load = load
        self._colorizer: Colorizer | None = None
        self.error: RecolorError | None = None
        self._thread = threading.Thread(target=self._run, name="models", daemon=True)
        self._thread.start()

    def __call__(self) -> "Colorizer":
        """Returns the models, and waits until they are loaded.

        Raises:
            RecolorError: They cannot be loaded.
        """
        self._thread.join()
        if self._colorizer is None:
            raise self.error or RecolorError("the models cannot be loaded; see the terminal.")
        return self._colorizer

    @property
    def state(self) -> State:
        """Whether they are loaded."""
        if self._thread.is_alive():
            return "loading"
        return "ready" if self._colorizer is not None else "failed"

    def _run(self) -> None:
        try:
            self._colorizer = self._load()
        except RecolorError as error:
            self.error = error


def load_models(folder: Path | None, device: ColorizeDevice) -> "Colorizer":
    """Loads the models of a folder; None: those that come with the package.

    Raises:
        RecolorError: They are missing or damaged, or the device is not available.
    """
    from recolor.colorize.colorizer import Colorizer  # noqa: PLC0415 - loads torch

    return Colorizer.from_folder(folder, device) if folder else Colorizer.from_pretrained(device)
