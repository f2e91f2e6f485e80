"""What comes from elsewhere made harmless: names, texts, files and secrets."""
