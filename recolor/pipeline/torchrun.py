"""torchrun for a training on its own machine: nothing listens to the network, and no process is left behind.

Torchrun by itself opens its store on every address of the machine, and prints a trace of its own where a process
fails. Here its store is a file, and which processes ended how is left for the parent, in the folder it gives.
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
PARENT = "RECOLOR_PARENT"  # in the environment: the process without which this one must not go on
_WATCH_EVERY_S = 0.1


def end_with_parent() -> None:
    """Ends this process when its parent has ended, however that was: a thread looks ten times a second.

    `PARENT` says which process that is, as it may have ended already; what this one starts is then told of this one.
    """
    parent = int(os.environ[PARENT])
    os.environ[PARENT] = str(os.getpid())
    threading.Thread(target=_watch, args=[parent], name="parent watch", daemon=True).start()


def run(module: str, processes: int, folder: Path) -> bool:
    """Runs a module in so many processes; one that fails ends the others.

    Args:
        module: Called as `python -m MODULE FOLDER`, with the variables of torchrun in its environment.
        processes: How many.
        folder: Where they, and torchrun, leave what they have to say.

    Returns:
        Whether all of them ended well.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what failed, the parent says
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    store = ["--rdzv-backend=c10d", f"--rdzv-endpoint={folder / 'rendezvous'}", "--rdzv-conf=store_type=file"]
    try:
        torchrun([f"--nproc-per-node={processes}", f"--log-dir={folder / 'logs'}", *store, "-m", module, str(folder)])
    except ChildFailedError as failed:
        ended = {rank: failure.exitcode for rank, failure in failed.failures.items()}
        (folder / ENDED_FILE).write_text(json.dumps(ended))
        return False
    except SignalException:  # the parent ends it
        return False
    return True


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_EVERY_S)
    os._exit(1)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(0 if run(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])) else 1)
