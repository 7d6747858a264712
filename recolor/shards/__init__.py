"""Lab tensor shards: the file format, writing, verifying, and contact sheets."""
