"""A teacher's targets on disk: formats, shards, manifest, which windows they cover."""
