"""What agents share: scopes, keys, and the one order in which shared things change."""
