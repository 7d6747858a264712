import pytest
import torch

from recolor.colorize import Colorizer
from recolor.config.settings import GeneratorModelConfig, RefinerModelConfig
from recolor.models.files import bins_json, save_model
from recolor.models.generator import Generator
from recolor.models.refiner import Refiner


@pytest.fixture(autouse=True)
def _one_thread():
    """Small convolutions are faster without waiting for a second core that may be busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Both models, small and untrained, of pictures of 128 px: the time of a test is that of the encoder.

    Heads start at zero, so random ones stand in for a training.
    """
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models")
    generator = Generator(GeneratorModelConfig(encoder_weights="none", encoder_depth=1, width=8, blocks=1)).eval()
    refiner = Refiner(RefinerModelConfig(encoder_weights="none", width=8, blocks=1)).eval()
    torch.nn.init.normal_(generator.head.weight, std=0.2)
    torch.nn.init.normal_(refiner.head.weight, std=0.01)
    shape = {"encoder_weights": "none", "width": 8, "blocks": 1}
    for name in ("generator", "refiner"):
        (folder / name).mkdir()
    details = {"kind": "generator", "model": {**shape, "encoder_depth": 1}, "temperature": 0.38, "image_px": 128}
    save_model(folder / "generator", generator, {**details, "ab_bins": bins_json()})
    save_model(folder / "refiner", refiner, {"kind": "refiner", "model": shape, "image_px": 128})
    return folder


@pytest.fixture(scope="session")
def colorizer(models):
    return Colorizer.from_folder(models, "cpu")
