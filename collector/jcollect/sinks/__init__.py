"""Where a subscription ends: the terminal."""
