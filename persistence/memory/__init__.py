"""The store in memory: keeps the whole contract of the port without a file."""
