"""The type of the parameter `settings`.

Prefect's forms show each field of `Config` with its range and description.
"""

from typing import TYPE_CHECKING

from pydantic import BaseModel

from recolor.config.settings import Config
from recolor.config.validation import changes_model

if TYPE_CHECKING:

    class Settings(BaseModel):
        """Settings that differ from the preset's; the form is made from `Config`."""
else:
    Settings = changes_model(Config, nullable=True)
