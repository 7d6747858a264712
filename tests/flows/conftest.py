import pytest

_TRAIN = {
    "steps": 4,
    "batch_images": 4,
    "warmup_steps": 1,
    "checkpoint_steps": 2,
    "validate_steps": 2,
    "crop_px": 64,
    "device": "cpu",
}
_TINY = {
    "execution": {"part_images": 16, "workers": 2},
    "select": {"val_fraction": 0.2, "test_fraction": 0.2},
    "shard": {"size_px": 64, "max_shard_images": 16},
    "generator": {
        "model": {"encoder_weights": "none", "encoder_depth": 1, "width": 8, "blocks": 1},
        "train": _TRAIN,
    },
    "refiner": {"model": {"encoder_weights": "none", "width": 8, "blocks": 1}, "train": _TRAIN},
    "evaluate": {"pictures": 2},
}


@pytest.fixture(scope="session")
def tiny():
    """Settings that take every stage through in seconds."""
    return _TINY


@pytest.fixture(scope="session")
def prefect_server():
    """One temporary server on loopback, with a database of its own, for all tests of flows."""
    # Imports the whole server, which only the process of these tests needs.
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def images(demo_images):
    return demo_images
