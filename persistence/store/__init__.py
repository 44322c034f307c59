"""The port to every store, and the one way in: commits in order, in batches, under a lease."""
