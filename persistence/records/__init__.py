"""The values that cross the border to a store: commits, rows, declared tables, checksums."""
