"""Commands that are interrupted or killed at random moments, many times."""
