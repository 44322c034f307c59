"""Named, versioned bytes with their origin: cut into chunks, stored once, swept when unused."""
