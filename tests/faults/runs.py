"""The command line on a pipeline whose every stage takes a moment, for faults to strike."""

import json
import subprocess
import sys

TINY = {
    "execution.part_images": 6,
    "execution.workers": 2,
    "shard.size_px": 64,
    "shard.max_shard_images": 16,
    "low_resolution.min_side_px": 64,
    "select.val_fraction": 0.2,
    "select.test_fraction": 0.2,
    "generator.model.encoder_weights": "none",
    "generator.model.encoder_depth": 1,
    "generator.model.width": 8,
    "generator.model.blocks": 1,
    "refiner.model.encoder_weights": "none",
    "refiner.model.width": 8,
    "refiner.model.blocks": 1,
    **{
        f"{model}.train.{name}": value
        for model in ("generator", "refiner")
        for name, value in {
            "steps": 12,
            "batch_images": 4,
            "warmup_steps": 2,
            "checkpoint_steps": 2,
            "validate_steps": 4,
            "crop_px": 64,
            "device": "cpu",
        }.items()
    },
}


def command(verb, images, root):
    words = [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    places = ["--images", str(images), "--workspace", str(root)]
    return [sys.executable, "-m", "recolor", *verb.split(), *places, *words]


def run(verb, images, root):
    """Runs the verb; returns how many parts were built."""
    process = subprocess.run([*command(verb, images, root), "--json"], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    (outcome,) = json.loads(process.stdout)["outcomes"]
    return outcome["built"]
