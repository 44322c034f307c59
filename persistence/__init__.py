"""What lasts: state becomes text, rows, commits in a store. Knows nothing of actors."""
