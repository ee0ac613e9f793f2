"""Orders, counts and encodes events once for all subscriptions."""
