"""What hooks did: kept with the commits they belong to, packed, found again, bounded."""
