"""Values to JSON text and back, exactly or not at all, and why not."""
