"""The command `seglab <verb>`: a table of verbs, one grammar `key=value`, and help and completion beside it."""
