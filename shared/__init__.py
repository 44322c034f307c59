"""What agents share: keyed values, artifacts, sessions, and who may touch them."""
