"""`make deploy-check`: what is shipped for deployment, tried without a cloud account and without a container engine."""
