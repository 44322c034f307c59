"""pykka's own tests, run against PooledActor."""
