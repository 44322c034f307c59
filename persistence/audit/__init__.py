"""The audit as it is stored: its entries, and the proof that none is missing."""
