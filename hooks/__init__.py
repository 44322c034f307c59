"""Places where code may intervene in a turn, a save or a transition."""
