"""Names that callers choose, normalised and bounded: scopes, principals, keys."""
