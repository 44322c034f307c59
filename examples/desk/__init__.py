"""The desk of the README, as a program: `python -m examples.desk`."""
