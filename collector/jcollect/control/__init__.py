"""Commands the agent in a process, and brings it there. No other package needs the agent's cooperation."""
