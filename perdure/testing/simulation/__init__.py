"""Whole systems run under one deterministic scheduler: a seed decides all that is left to chance."""
