"""What commands have in common on the console: arguments, progress, summaries, pages."""
