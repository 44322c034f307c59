"""What lasts: state types, codec, journal, the store port and its adapters."""
