"""MLflow: the one station that knows it. Runs, their store, and what happens when one of them goes away."""
