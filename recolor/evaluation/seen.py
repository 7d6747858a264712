"""What can be known of whether the models were trained on the images that they are measured on."""

from collections.abc import Sequence

from recolor.config.settings import Split
from recolor.evaluation.methods import Model


def seen_in_split(models: Sequence[Model], shards: str, split: Split) -> tuple[str, ...]:
    """Sentences about a split of shards.

    Args:
        models: Each says in its `config.json` which shards it was trained on.
        shards: Fingerprint of the shards measured on.
        split: Of these shards.
    """
    return tuple(_of_model(model, shards, split) for model in models)


def seen_in_folder(models: Sequence[Model]) -> tuple[str, ...]:
    """Sentences about photographs from elsewhere."""
    return tuple(f"Recolor cannot know whether {model.label} was trained on these photographs." for model in models)


def _of_model(model: Model, shards: str, split: Split) -> str:
    if set(model.trained_on) != {shards}:
        return (
            f"Recolor cannot know whether {model.label} was trained on these images: it comes from other shards, does"
            " not say from which, or started from another model's weights."
        )
    if split == "train":
        return f"The model {model.label} was trained on these images: its figures say nothing about others."
    return f"The model {model.label} was trained on the train split of these shards, on none of the images measured."
