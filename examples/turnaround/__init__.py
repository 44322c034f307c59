"""A week of turnarounds: flights go through a pipeline, and late ones are published."""
