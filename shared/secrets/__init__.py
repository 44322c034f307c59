"""Secrets in a store are sealed again with a newer key while the system runs."""
