"""What the verbs share: options, tables and status lines."""
