"""Where events come from: each source delivers columns, counters and losses."""
