"""Cached, resumable stages: records, the workspace, storage, worker processes."""
