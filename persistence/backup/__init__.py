"""Backups: the pages of a store at one moment, kept apart, checked, and brought back."""
