"""How a run is kept on disk: atomic files, digests, manifests, the lock, Arrow tables."""
