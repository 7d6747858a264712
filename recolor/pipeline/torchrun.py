"""Runs torchrun on one machine, with a file store instead of a TCP port.

It ends with its parent process. By default, torchrun's store listens on every network address of the machine, and
torchrun prints its own traceback when a process fails. Here the store is a file, and the exit codes are written to a
file for the parent process.
"""

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main as torchrun

ENDED_FILE = "ended.json"
PARENT = "RECOLOR_PARENT"  # environment variable: id of the parent process, with which this one ends
_WATCH_EVERY_S = 0.1


def end_with_parent() -> None:
    """Ends this process when its parent has ended for any reason.

    A thread checks ten times a second. The parent's id is read from the variable `PARENT`, because the parent may have
    ended already. The variable is then set to this process's id, for the processes that it starts.
    """
    parent = int(os.environ[PARENT])
    os.environ[PARENT] = str(os.getpid())
    threading.Thread(target=_watch, args=[parent], name="parent watch", daemon=True).start()


def run(module: str, processes: int, folder: Path) -> bool:
    """Runs a module in several processes (ranks); if one fails, the others are ended.

    Args:
        module: Run as `python -m MODULE FOLDER`, with torchrun's environment variables.
        processes: Number of processes.
        folder: Folder for the store, the logs and the exit codes of failed ranks.

    Returns:
        Whether all processes succeeded.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the parent reports failures
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    store = ["--rdzv-backend=c10d", f"--rdzv-endpoint={folder / 'rendezvous'}", "--rdzv-conf=store_type=file"]
    try:
        torchrun([f"--nproc-per-node={processes}", f"--log-dir={folder / 'logs'}", *store, "-m", module, str(folder)])
    except ChildFailedError as failed:
        ended = {rank: failure.exitcode for rank, failure in failed.failures.items()}
        (folder / ENDED_FILE).write_text(json.dumps(ended))
        return False
    except SignalException:  # ended by the parent
        return False
    return True


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_EVERY_S)
    os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(0 if run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])) else 1)
