"""What each line of the user's code cost."""
