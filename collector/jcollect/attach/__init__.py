"""From probes to a filling ring: handlers loaded, links made and destroyed, arming awaited."""
