"""What an accelerator did."""
