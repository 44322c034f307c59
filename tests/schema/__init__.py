"""Tests of schemas and migrations."""
