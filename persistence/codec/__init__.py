"""One value to JSON text and back: exactly, or refused with the reason and the place."""
