"""Prefect's server and worker as programs of their own, so that each can be killed alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

PROJECT = Path(__file__).parents[2]


class Site:
    """A server with a worker, and the command line that talks to them."""

    def __init__(self, home):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.port = str(port)
        self.url = f"http://127.0.0.1:{port}/api"
        self.home = home
        self.env = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PWD": str(PROJECT),
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
        }
        self.services = []

    def start(self, *words):
        with (self.home / f"{words[0]}.log").open("w") as log:
            command = ["prefect", *words]
            self.services.append(
                subprocess.Popen(command, cwd=PROJECT, env=self.env, stdout=log, stderr=log, start_new_session=True)
            )

    def call(self, *words):
        return subprocess.run(
            ["prefect", "--no-prompt", *words],
            cwd=PROJECT,
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def post(self, path, body):
        reply = httpx.post(f"{self.url}/{path}", json=body, timeout=60)
        reply.raise_for_status()
        return reply.json()

    def wait_until(self, path):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/{path}", timeout=10).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        pytest.fail(f"{path} did not answer within 120 s: {(self.home / 'server.log').read_text()[-2000:]}")

    def stop(self):
        for service in reversed(self.services):
            with suppress(ProcessLookupError):  # a test has killed it
                os.killpg(service.pid, signal.SIGTERM)
        for service in self.services:
            try:
                service.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(service.pid, signal.SIGKILL)
                service.wait()


def last_flow_run(site, flow):
    body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC", "limit": 1}
    return site.post("flow_runs/filter", body)[0]
