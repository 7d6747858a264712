"""What runs leave in a workspace, and what they must not."""

from recolor.pipeline.cache import outputs_present, read_record
from recolor.pipeline.workspace import Workspace


def content(root, *patterns):
    """Bytes of all finished outputs: without records and kept runs, which carry times, and without checkpoints."""
    files = sorted(path for pattern in patterns for path in (root).glob(pattern) if path.is_file())
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in files
        if not path.name.endswith(".record.json") and not {"checkpoints", "runs"}.intersection(path.parts)
    }


def results(root):
    """The bytes of every output."""
    return content(root, "manifests/*", "data/**/*")


def finished(root):
    """Every output of a finished part: which file it is, and when it was written."""
    workspace = Workspace(root)
    records = [record for path in root.rglob("*.record.json") if (record := read_record(path)) is not None]
    paths = [root / output.path for part in records if outputs_present(workspace, part) for output in part.outputs]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


def redone(done, root):
    """Which of the parts that were finished have been made again since."""
    now = finished(root)
    return [path for path, state in done.items() if now.get(path) != state]


def temporary_files(root):
    """What is there while a run lasts, and no longer."""
    return [path for path in root.rglob("*") if path.name.endswith(".tmp") or path.parent.name == "staging"]
