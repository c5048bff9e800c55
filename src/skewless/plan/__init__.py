"""Plans: pure functions from definitions to frozen values that say what will be done."""
