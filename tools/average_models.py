"""Averages the weights of trained models of one shape (Wortsman et al. 2022, "Model soups").

    python tools/average_models.py --out OUT FOLDER=WEIGHT FOLDER=WEIGHT ...

Each FOLDER holds `model.safetensors` and `config.json`, as `data/models/refiner` does; the weights are divided by their
sum. OUT has the settings of the last FOLDER's training, and under `averaged` the SHA-256 of each model and its weight.
"""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from recolor.models.files import load_generator, load_refiner, save_model
from recolor.models.identity import CONFIG_FILE, MODEL_FILE


def average(folders: dict[Path, float], out: Path) -> None:
    """Writes the weighted mean of the models in `folders` to `out`."""
    *_, last = folders
    kind = json.loads((last / CONFIG_FILE).read_text())["kind"]
    loaded = load_generator(last) if kind == "generator" else load_refiner(last)
    total = sum(folders.values())
    states = {folder: load_file(folder / MODEL_FILE) for folder in folders}
    mean = {}
    for name, tensor in states[last].items():
        parts = [states[folder][name].double() * (weight / total) for folder, weight in folders.items()]
        mean[name] = torch.stack(parts).sum(0).to(tensor.dtype) if tensor.is_floating_point() else tensor
    loaded.model.load_state_dict(mean)
    averaged = [
        {"sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(), "weight": weight / total}
        for folder, weight in folders.items()
    ]
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, loaded.model, {**loaded.details, "averaged": averaged})


def main() -> None:
    """Runs `average` on the command's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="FOLDER=WEIGHT")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    pairs = [word.rpartition("=") for word in arguments.models]
    average({Path(folder): float(weight) for folder, _, weight in pairs}, arguments.out)


if __name__ == "__main__":
    main()
