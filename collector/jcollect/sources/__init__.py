"""Sources of events: each delivers columns, counters and losses."""
