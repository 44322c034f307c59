"""Scoped keyed state: shared values with versions, in the one order of all commits."""
