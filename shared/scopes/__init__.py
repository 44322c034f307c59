"""Shared values by scope and key: read, write, count, list, expire, export, import."""
