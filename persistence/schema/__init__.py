"""Schemas of what is stored: derived from classes, compared, kept in the store, migrated."""
