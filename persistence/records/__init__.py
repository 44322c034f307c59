"""What crosses the border to a store: rows, commits, declared tables, the audit's chain."""
