"""The names that callers choose, checked and bounded: scopes, principals, keys."""
