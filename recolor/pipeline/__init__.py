"""What makes a stage cached and resumable: records, the workspace, storage, workers."""
