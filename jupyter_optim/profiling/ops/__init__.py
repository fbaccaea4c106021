"""What each op and module cost."""
