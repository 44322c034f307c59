"""Sessions: pieces of work with a state, a history and an end of their own."""
