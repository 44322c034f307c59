"""The port: what is asked of a store, and the one way into it: commits, batches, the lease."""
