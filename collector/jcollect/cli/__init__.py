"""Code that the verbs share: options, tables, status lines, and the parts of each verb."""
