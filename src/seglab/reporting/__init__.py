"""What a study found, written from its runs: the README beside its sweep, and a technical note."""
