"""Contents by their hash: how bytes are cut, packed, kept from the sweep, and read back."""
