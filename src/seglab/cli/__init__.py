"""The command `seglab <verb>`: a table of verbs, one grammar `key=value`, and help, completion and version beside it."""
