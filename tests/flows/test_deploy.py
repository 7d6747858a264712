"""Deployments beside those of others: what has a name of ours and is not ours is refused and left."""

from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.clean_and_train import FLOWS, clean_and_train
from flows.deploy import POOL, PREFECT_FILE, PROJECT, check_beside_others, declared_deployments, our_deployments
from recolor.errors import InputError


@pytest.fixture
def client(prefect_server):
    with get_client(sync_client=True) as client:
        yield client
        for deployment in client.read_deployments():
            client.delete_deployment(deployment.id)
        for pool in client.read_work_pools():
            client.delete_work_pool(pool.name)


def create(client, flow, name, entrypoint, pool):
    if pool not in [each.name for each in client.read_work_pools()]:
        client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    flow_id = UUID(client.request("POST", "/flows/", json={"name": flow}).json()["id"])
    return client.create_deployment(flow_id, name, entrypoint=entrypoint, work_pool_name=pool)


def test_every_flow_is_declared_with_its_own_name_in_our_pool():
    assert {each.name for each in declared_deployments()} == {*FLOWS, "clean-and-train"}
    assert clean_and_train.name == "clean-and-train"
    assert all(flow.name == name for name, flow in FLOWS.items())
    assert {each["work_pool"]["name"] for each in yaml.safe_load(PREFECT_FILE.read_text())["deployments"]} == {POOL}
    assert PREFECT_FILE.samefile(PROJECT / "prefect.yaml")


@pytest.mark.parametrize(
    ("entrypoint", "pool"), [("flows/clean.py:clean", "etl"), ("etl/clean.py:main", POOL)], ids=["pool", "entrypoint"]
)
def test_a_deployment_of_others_with_the_full_name_of_ours_is_refused(client, entrypoint, pool):
    create(client, "clean", "clean", entrypoint, pool)
    with pytest.raises(InputError, match=r"a deployment clean/clean that is not Recolor's.*prefect deployment delete"):
        check_beside_others(client)
    assert our_deployments(client) == []


def test_only_our_names_in_our_pool_are_ours_and_others_do_not_disturb(client):
    create(client, "etl", "clean", "etl.py:clean", "etl")
    create(client, "clean", "nightly", "flows/clean.py:clean", POOL)
    ours = create(client, "clean", "clean", "flows/clean.py:clean", POOL)
    check_beside_others(client)
    assert [deployment.id for deployment in our_deployments(client)] == [ours]


def test_a_pool_of_our_name_and_another_type_is_refused(client):
    client.create_work_pool(WorkPoolCreate(name=POOL, type="docker"))
    with pytest.raises(InputError, match=r"a work pool 'recolor' of the type 'docker'"):
        check_beside_others(client)
