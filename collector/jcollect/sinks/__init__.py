"""Sinks: consumers of subscriptions."""
