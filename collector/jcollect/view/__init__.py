"""Converts events and counts to rows, summaries and text."""
