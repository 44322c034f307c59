"""The tests: they attack what the documentation promises."""
