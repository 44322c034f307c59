"""Hook points: code that may intervene in a turn, a save or a transition."""
