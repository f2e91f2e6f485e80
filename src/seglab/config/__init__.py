"""From words to a checked config, before anything heavy is loaded."""
