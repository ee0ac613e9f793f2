"""Events and counts as rows, summaries and text."""
