"""Recordings: files with the events of a collector. Writes them, reads them, and replays them."""
