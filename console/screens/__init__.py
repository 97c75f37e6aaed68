"""What each screen shows, one module for each; pure: pictures come in, rows and lines go out."""
