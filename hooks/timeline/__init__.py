"""What happened and what caused what: turns, hooks, decisions and artifacts as one timeline."""
