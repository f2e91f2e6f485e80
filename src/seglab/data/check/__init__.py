"""The gate on the data: findings with names, in a short form before every training and a full one that reads all."""
