"""Whole systems run one thread at a time: a seed decides all that is left to chance."""
