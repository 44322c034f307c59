"""The store in memory: the whole contract without a file."""
