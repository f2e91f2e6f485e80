"""Which variant is better, and how sure that is: runs of the store, paired over the same cases."""
